import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Fit } from '../fit/types.ts';
import type { Candidate, Law, Measured } from './candidate.ts';
import { lawOf } from './candidate.ts';
import { nextPoints } from './vOptimal.ts';

const joint: Law = { form: 'joint' };
const target = { parameters: 7e9, tokens: 1e12 };

function aGrid(sizes: readonly number[], budgets: readonly number[], withTrunks = false): Candidate[] {
  return sizes.flatMap((parameters) => budgets.map((tokens) => ({
    id: `${parameters}-${tokens}`, parameters, tokens, flops: 6 * parameters * tokens, gpuHours: parameters * tokens / 1e14, ...(withTrunks ? { trunk: String(parameters) } : {}),
  })));
}

const doubling = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from * 2 ** i);
const grid = aGrid(doubling(1e6, 5), doubling(2e7, 5));

/** A fit as fitLaw gives it without resamples, with so much scatter. */
function aFit(scatter = 0.01): Fit {
  const values = { E: 0.3, A: 8, B: 12, alpha: 0.34, beta: 0.28 };
  return {
    form: 'joint', estimates: Object.entries(values).map(([name, value]) => ({ name, value, standardError: 0, lower: value, upper: value })),
    objective: 0, r2: 1, points: 10, degreesOfFreedom: 5, confidence: 0.95, residuals: [], scatter, range: { loss: { min: 0.4, max: 0.7 } }, warnings: [], codes: [], samples: [],
    covariance: Array.from({ length: 5 }, (_, i) => Array.from({ length: 5 }, (__, j) => (i === j ? scatter ** 2 : 0))),
  };
}

const measured = (points: readonly Candidate[]): Measured[] => points.map((point) => ({ ...point, loss: 0.5 }));
const ids = (points: readonly { readonly candidate: Candidate }[]): string[] => points.map(({ candidate }) => candidate.id);
const idle = { observed: [], running: [], law: joint, target };

describe('a planned sweep', () => {
  test('begins with the smallest points that tell the law\'s parameters apart, spread over both axes', () => {
    const { choices, message } = nextPoints({ ...idle, candidates: grid, slots: 6 });
    assert.deepEqual(ids(choices), ['1000000-20000000', '1000000-40000000', '2000000-20000000', '1000000-80000000', '2000000-40000000', '4000000-20000000']);
    assert.equal(message, 'next: 6 of the smallest points, to tell the parameters of the law apart');
  });

  test('does not wait for their losses while runs may be started', () => {
    const [running, candidates] = [grid.slice(0, 4), grid.slice(4)];
    assert.equal(nextPoints({ ...idle, running, candidates, slots: 8 }).choices.length, 8);
    assert.equal(nextPoints({ ...idle, candidates: grid, slots: 0 }).message, 'no run may be started now');
  });

  test('goes to the far end of the grid for a target beyond it, were FLOPs for nothing', () => {
    const known = grid.slice(0, 8);
    const { choices } = nextPoints({ ...idle, observed: measured(known), candidates: grid.slice(8), fit: aFit(), slots: 1, costExponent: 0 });
    assert.deepEqual(ids(choices), ['16000000-320000000']);
  });

  test('asks a law of one axis for points of that axis', () => {
    const sizes = aGrid(doubling(1e6, 6), [2e7]);
    assert.deepEqual(lawOf(sizes, 'power'), { form: 'power', axis: 'parameters' });
    assert.deepEqual(lawOf(aGrid([1e6], doubling(2e7, 3)), 'offset'), { form: 'offset', axis: 'tokens' });
    const { choices } = nextPoints({ candidates: sizes, observed: [], running: [], law: lawOf(sizes, 'power'), slots: 4 });
    assert.deepEqual(choices.slice(0, 3).map(({ candidate }) => candidate.parameters), [1e6, 2e6, 4e6]);
  });

  test('ends when the interval is narrow enough, and when nothing more can be paid', () => {
    const far = { ...idle, observed: measured(grid.slice(0, 10)), candidates: grid.slice(10), slots: 4 };
    const narrow = nextPoints({ ...far, fit: aFit(1e-5), precisionPercent: 2 });
    assert.ok(narrow.isDone && narrow.choices.length === 0 && narrow.halfWidthPercent! < 2);
    assert.match(narrow.message, /^the interval at the target is \+- 0\.0\d+ % of the loss, within 2 %$/);
    assert.equal(nextPoints({ ...far, fit: aFit(0.1), precisionPercent: 2 }).isDone, false);
    assert.equal(nextPoints({ ...far, remaining: { flops: 1 } }).message, 'none of the 15 points left fits into what is left of the budget');
    assert.equal(nextPoints({ ...far, candidates: [], running: [grid[10]!] }).message, 'every point has been started');
  });

  test('counts a branch as its cooldown and what its trunk has to train further', () => {
    const [small, large] = aGrid([1e6], [1e7, 2e7], true);
    const { choices } = nextPoints({ ...idle, candidates: [small!], observed: measured([large!]), slots: 1, cooldownPercent: 20 });
    assert.equal(choices[0]?.flops, small!.flops - 0.8 * small!.flops);
  });

  const anyState = fc.record({
    candidates: fc.uniqueArray(fc.record({ size: fc.integer({ min: 0, max: 7 }), budget: fc.integer({ min: 0, max: 7 }) }), { minLength: 1, maxLength: 40, selector: ({ size, budget }) => 8 * size + budget }),
    measured: fc.integer({ min: 0, max: 10 }), slots: fc.integer({ min: 0, max: 12 }), flops: fc.double({ min: 1e13, max: 1e18, noNaN: true }), hours: fc.double({ min: 0, max: 100, noNaN: true }), hasTrunks: fc.boolean(), hasFit: fc.boolean(),
  }).map(({ candidates, measured: count, slots, flops, hours, hasTrunks, hasFit }) => {
    const points = candidates.flatMap(({ size, budget }) => aGrid([1e6 * 2 ** size], [2e7 * 2 ** budget], hasTrunks));
    return { ...idle, candidates: points.slice(count), observed: measured(points.slice(0, count)), slots, remaining: { flops, gpuHours: hours }, ...(hasFit ? { fit: aFit() } : {}) };
  });

  test('never spends more than is left, starts no point twice and leaves no slot free that could be paid for', () => {
    fc.assert(fc.property(anyState, (state) => {
      const { choices } = nextPoints(state);
      const spent = choices.reduce((sum, { flops }) => sum + flops, 0);
      const hours = choices.reduce((sum, { candidate, flops }) => sum + candidate.gpuHours! * flops / candidate.flops, 0);
      assert.ok(spent <= state.remaining.flops * (1 + 1e-9) && hours <= state.remaining.gpuHours * (1 + 1e-9));
      assert.equal(new Set(ids(choices)).size, choices.length);
      assert.ok(choices.length <= state.slots && choices.every(({ candidate }) => state.candidates.includes(candidate)));
      if (choices.length === state.slots) return;
      const left = { flops: state.remaining.flops - spent, gpuHours: state.remaining.gpuHours - hours };
      const running = choices.map(({ candidate }) => candidate);
      const candidates = state.candidates.filter((one) => !running.includes(one));
      assert.deepEqual(nextPoints({ ...state, candidates, running, slots: 1, remaining: { flops: left.flops * (1 - 1e-9), gpuHours: left.gpuHours * (1 - 1e-9) } }).choices, []);
    }), { numRuns: 200 });
  });

  test('chooses the same points in whatever order they are named', () => {
    fc.assert(fc.property(anyState, fc.infiniteStream(fc.nat()), (state, draws) => {
      const keys = new Map(state.candidates.map(({ id }) => [id, draws.next().value ?? 0]));
      const shuffled = state.candidates.toSorted((a, b) => keys.get(a.id)! - keys.get(b.id)!);
      assert.deepEqual(ids(nextPoints({ ...state, candidates: shuffled }).choices), ids(nextPoints(state).choices));
    }), { numRuns: 100 });
  });

  test('never prefers a point because it costs more', () => {
    const [observed, candidates] = [measured(grid.slice(0, 8)), grid.slice(8)];
    const place = (points: readonly Candidate[], id: string): number => ids(nextPoints({ ...idle, observed, candidates: points, fit: aFit(), slots: 17 }).choices).indexOf(id);
    fc.assert(fc.property(fc.integer({ min: 0, max: 16 }), fc.double({ min: 1, max: 100, noNaN: true }), (i, factor) => {
      const dearer = candidates.map((one, k) => (k === i ? { ...one, flops: one.flops * factor } : one));
      assert.ok(place(dearer, candidates[i]!.id) >= place(candidates, candidates[i]!.id));
    }), { numRuns: 60 });
  });

  test('weighs a thousand points for 64 slots in less than a second', () => {
    const many = aGrid(Array.from({ length: 40 }, (_, i) => 1e6 * 1.2 ** i), Array.from({ length: 25 }, (_, i) => 2e7 * 1.3 ** i), true);
    const fit = { ...aFit(), samples: Array.from({ length: 100 }, (_, i) => [0.3 + i / 1000, 8, 12, 0.34, 0.28]) };
    const before = process.cpuUsage();
    assert.equal(nextPoints({ ...idle, observed: measured(many.slice(0, 10)), candidates: many.slice(10), fit, slots: 64 }).choices.length, 64);
    assert.ok(process.cpuUsage(before).user / 1e6 < 1);
  });
});
