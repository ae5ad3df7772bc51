import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { bradleyTerry, drawer, gain, meanEstimate, pairNumbers, ranks, spearman, spearmanEstimate } from './statistics.ts';

const inside = ({ value, lower, upper }: { value: number | null; lower: number | null; upper: number | null }): boolean => value !== null && lower !== null && upper !== null && lower <= value && value <= upper;

void describe('numbers of an evaluation', () => {
  it('counts a tie as half right and a coin as ln 2 of loss', () => {
    const { accuracy, loss } = pairNumbers([{ cluster: 'a', margin: 0 }, { cluster: 'b', margin: 0 }]);
    assert.deepEqual(accuracy, { value: 0.5, lower: 0.5, upper: 0.5, n: 2, clusters: 2 });
    assert.ok(Math.abs((loss.value ?? 0) - Math.LN2) < 1e-12);
  });

  it('has no value where nothing was measured', () => {
    assert.deepEqual(pairNumbers([]).accuracy, { value: null, lower: null, upper: null, n: 0, clusters: 0 });
  });

  it('keeps the loss finite at any margin', () => {
    assert.equal(bradleyTerry(-1e6), 1e6);
    assert.equal(bradleyTerry(1e6), 0);
    fc.assert(fc.property(fc.double({ min: -30, max: 30, noNaN: true }), (margin) => Math.abs(bradleyTerry(margin) - Math.log(1 + Math.exp(-margin))) < 1e-9));
  });

  it('gives the same interval for the same seed and another for another', () => {
    const items = Array.from({ length: 60 }, (_, at) => ({ cluster: `q${String(at % 20)}`, value: (at * 37) % 11 }));
    assert.deepEqual(meanEstimate(items), meanEstimate(items));
    assert.notDeepEqual(meanEstimate(items, { seed: 1, resamples: 200 }), meanEstimate(items, { seed: 2, resamples: 200 }));
  });

  it('widens the interval when what is measured lies on fewer prompts', () => {
    const values = Array.from({ length: 400 }, (_, at) => ({ prompt: Math.floor(at / 20), value: Math.floor(at / 20) % 2 }));
    const width = (cluster: (at: number, prompt: number) => string): number => {
      const { lower, upper } = meanEstimate(values.map(({ prompt, value }, at) => ({ cluster: cluster(at, prompt), value })));
      return (upper ?? 0) - (lower ?? 0);
    };
    assert.ok(width((_, prompt) => String(prompt)) > 3 * width((at) => String(at)));
  });

  it('holds the truth in about 95 of 100 intervals', () => {
    const draw = drawer(7);
    const worlds = Array.from({ length: 200 }, () => Array.from({ length: 80 }, (_, at) => ({ cluster: String(at >> 1), value: draw(2) })));
    const held = worlds.filter((items) => { const { lower, upper } = meanEstimate(items, { seed: 3, resamples: 200 }); return (lower ?? 1) <= 0.5 && 0.5 <= (upper ?? 0); }).length;
    assert.ok(held >= 180 && held <= 199, `held in ${String(held)} of 200`);
  });

  it('measures a gain on the same comparisons only', () => {
    const margins = [{ cluster: 'a', margin: 1 }, { cluster: 'b', margin: -1 }];
    assert.equal(gain(margins, margins).value, 0);
    assert.throws(() => gain(margins, margins.slice(1)), /expected as many margins, got 2 and 1/);
  });

  it('shares ranks among equals and correlates by rank alone', () => {
    assert.deepEqual(ranks([3, 1, 3, 2]), [3.5, 1, 3.5, 2]);
    fc.assert(fc.property(fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { minLength: 2 }), (values) => {
      assert.ok(Math.abs(spearman(values.map((x) => ({ x, y: x ** 3 }))) - 1) < 1e-9);
      assert.ok(Math.abs(spearman(values.map((x) => ({ x, y: -x }))) + 1) < 1e-9);
    }));
    assert.ok(Number.isNaN(spearman([{ x: 1, y: 2 }, { x: 1, y: 3 }])));
    assert.equal(spearman([{ x: 1, y: 2 }, { x: 2, y: 2 }]), 0);
  });

  it('gives a rank correlation its interval by prompt', () => {
    const draw = drawer(11);
    const items = Array.from({ length: 100 }, (_, at) => ({ cluster: String(at >> 2), x: at, y: at + draw(60) }));
    const found = spearmanEstimate(items, { seed: 1, resamples: 200 });
    assert.ok(inside(found) && (found.lower ?? 0) > 0.5 && found.clusters === 25);
  });
});
