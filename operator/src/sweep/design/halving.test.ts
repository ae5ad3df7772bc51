import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { toStop } from './halving.ts';
import type { Rival } from './halving.ts';

const options = { keepPercent: 50, atPercent: [25, 50] };
const BUDGET = 1000;

/** A run whose validation loss falls from 0.69 and then stays near `loss`, validated every 50 steps. */
function aRival(rate: number, loss: number, fields: Partial<Rival> & { readonly until?: number } = {}): Rival {
  const { until = 500, ...rest } = fields;
  const curve = Array.from({ length: until / 50 }, (_, i) => ({ at: 50 * (i + 1), loss: loss + (0.69 - loss) * Math.exp(-(i + 1) / 1.5) }));
  return { id: `lr-${rate}`, learningRate: rate, budget: BUDGET, curve, standardError: 0.002, state: 'Running', ...rest };
}

const eight = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3].map((rate, i) => aRival(rate, 0.4 + 0.03 * Math.abs(i - 3)));
const stopped = (rivals: readonly Rival[], by = options): string[] => toStop(rivals, by).map(({ id }) => id).sort();

describe('early stopping', () => {
  test('stops the runs beyond the best half and says why in a sentence', () => {
    const stops = toStop(eight, options);
    assert.deepEqual(stops.map(({ id }) => id).sort(), ['lr-0.0001', 'lr-0.03', 'lr-0.1', 'lr-0.3'].sort());
    const { message } = stops.find(({ id }) => id === 'lr-0.3')!;
    assert.match(message, /^stopped early: at 50 % of its budget its validation loss was 0\.5\d+, number 8 of the 8 learning rates that got there, of which 4 go on; learning rate 0\.003 had 0\.4\d+ \(difference 0\.1\d+ \+- 0\.0028\)$/);
  });

  test('keeps the learning rates next to the best, from which the optimum is read', () => {
    assert.deepEqual(stopped(eight, { keepPercent: 1, atPercent: [50] }), ['lr-0.0001', 'lr-0.0003', 'lr-0.03', 'lr-0.1', 'lr-0.3'].sort());
  });

  test('keeps runs that are not clearly worse than the best', () => {
    assert.deepEqual(stopped(eight.map((rival) => ({ ...rival, standardError: 0.2 }))), []);
  });

  test('keeps a run that falls so much faster that it would catch up with the best', () => {
    const late = { ...aRival(0.3, 0), curve: [{ at: 100, loss: 0.69 }, { at: 250, loss: 0.68 }, { at: 500, loss: 0.53 }] };
    assert.deepEqual(stopped([...eight.slice(0, 7), late]), ['lr-0.0001', 'lr-0.03', 'lr-0.1'].sort());
  });

  test('leaves runs alone that are behind, wait or have no validation around the rung', () => {
    const behind = eight.map((rival) => rival.id === 'lr-0.003' ? rival : { ...rival, curve: rival.curve.slice(0, 4) });
    assert.deepEqual(stopped(behind), []);
    assert.deepEqual(stopped(eight.map((rival) => ({ ...rival, state: 'Waiting', curve: [] }))), []);
    assert.deepEqual(stopped(eight.map((rival) => ({ ...rival, curve: rival.curve.slice(-1) }))), stopped(eight.map((rival) => ({ ...rival, curve: rival.curve.filter(({ at }) => at === 500) }))));
  });

  test('judges a run that comes late by those that were there before', () => {
    const early = eight.map((rival) => rival.id === 'lr-0.3' ? rival : { ...rival, state: 'Ended' as const, curve: aRival(rival.learningRate, rival.curve.at(-1)!.loss, { until: 1000 }).curve });
    assert.deepEqual(stopped(early), ['lr-0.3']);
  });

  test('takes the loss of a run that failed for nothing, so that the others are not stopped for it', () => {
    const [best, ...others] = eight.toSorted((a, b) => a.curve.at(-1)!.loss - b.curve.at(-1)!.loss);
    const after = stopped([{ ...best!, state: 'Failed' }, ...others], { keepPercent: 10, atPercent: [50] });
    assert.equal(after.includes(others[0]!.id), false);
  });

  test('stops nothing more when it is asked again after those have stopped', () => {
    const gone = new Set(stopped(eight));
    assert.deepEqual(stopped(eight.map((rival) => gone.has(rival.id) ? { ...rival, state: 'Stopped' } : rival)), []);
  });

  test('never stops the best, never the last one, and only what runs', () => {
    const anyRival = fc.record({
      rate: fc.integer({ min: 1, max: 12 }), losses: fc.array(fc.integer({ min: 300, max: 700 }), { maxLength: 10 }),
      state: fc.constantFrom<Rival['state']>('Running', 'Running', 'Running', 'Waiting', 'Ended', 'Failed', 'Stopped'), standardError: fc.constantFrom(undefined, 0, 0.01),
    });
    fc.assert(fc.property(fc.array(anyRival, { maxLength: 10 }), fc.integer({ min: 1, max: 99 }), fc.subarray([10, 25, 50, 75]), (drawn, keepPercent, atPercent) => {
      const rivals = drawn.map(({ rate, losses, state, standardError }, i): Rival => ({
        id: `p${i}`, learningRate: rate, budget: BUDGET, curve: losses.map((loss, k) => ({ at: 100 * (k + 1), loss: loss / 1000 })), standardError, state,
      }));
      const stops = toStop(rivals, { keepPercent, atPercent });
      const ids = new Set(stops.map(({ id }) => id));
      assert.equal(ids.size, stops.length);
      const left = rivals.filter(({ id, state }) => !ids.has(id) && state !== 'Failed' && state !== 'Stopped');
      for (const { id, atPercent: rung } of stops) {
        const rival = rivals.find((one) => one.id === id)!;
        assert.equal(rival.state, 'Running');
        assert.ok(rival.curve.at(-1)!.at >= BUDGET * rung / 100);
      }
      if (stops.length > 0) assert.ok(left.length > 0);
    }), { numRuns: 500 });
  });
});
