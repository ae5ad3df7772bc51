import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Point } from '../point.ts';
import { addedFlops, branchPoint, branchStep, reachOf, savingsFactor, trunkKey, trunkWarmupPercent, trunksOf } from './cooldown.ts';

const base: Omit<Point, 'steps'> = { size: '1M', learningRate: '0.003', batchTriplets: 64, seed: 0 };
const ofSteps = (...steps: number[]): Point[] => steps.map((one) => ({ ...base, steps: one }));
const round = (value: number): number => Math.round(value * 100) / 100;

describe('cooldowns from one trunk', () => {
  test('save what was published: 1.60 to 1.63 times the FLOPs on grids that double, 2.14 on an even one', () => {
    assert.equal(round(savingsFactor([1, 2, 4, 8], 20)), 1.6);
    assert.equal(round(savingsFactor([1, 2, 4, 8, 16], 20)), 1.63);
    assert.equal(round(savingsFactor([1, 2, 3, 4, 5], 20)), 2.14);
    assert.equal(savingsFactor([7], 20), 1);
  });

  test('cost together what the formula says, in whatever order they are started', () => {
    const budgets = fc.uniqueArray(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 12 });
    fc.assert(fc.property(budgets, fc.integer({ min: 1, max: 60 }), (all, percent) => {
      let reach = reachOf([], percent);
      let spent = 0;
      for (const flops of all) {
        spent += addedFlops({ flops, trunk: 't' }, reach, percent);
        reach = reachOf([{ flops, trunk: 't' }], percent, reach);
      }
      const expected = all.reduce((sum, one) => sum + one, 0) / savingsFactor(all, percent);
      assert.ok(Math.abs(spent / expected - 1) < 1e-9);
    }));
  });

  test('cost as much as a run of its own where there is no trunk', () => {
    assert.equal(addedFlops({ flops: 5 }, reachOf([{ flops: 9, trunk: 't' }], 20), 20), 5);
  });

  test('begin where the schedule wsd of the trainer would begin them', () => {
    assert.deepEqual([120, 240, 7, 1].map((budget) => branchPoint(budget, 17)), [100, 200, 6, 1]);
  });

  test('of one trunk are points that differ in nothing but their budget', () => {
    const points = [...ofSteps(400, 100, 200), { ...base, steps: 100, seed: 1 }, { ...base, size: '3M', steps: 100 }];
    const trunks = trunksOf(points, 20);
    assert.deepEqual(trunks.map(({ unit, budget, keep }) => ({ unit, budget, keep })), [
      { unit: 'steps', budget: 320, keep: [80, 160, 320] }, { unit: 'steps', budget: 80, keep: [80] }, { unit: 'steps', budget: 80, keep: [80] },
    ]);
    assert.deepEqual(trunks[0]?.branches.map(({ from, budget }) => [from, budget]), [[80, 100], [160, 200], [320, 400]]);
    assert.deepEqual(trunks.map(({ key }) => key), [trunkKey(points[0]!), trunkKey(points[3]!), trunkKey(points[4]!)]);
  });

  test('a trunk reaches as far as the chosen points need, and keeps the branch points of all', () => {
    const [trunk] = trunksOf(ofSteps(100, 200, 400), 20, ({ steps }) => steps === 200);
    assert.deepEqual([trunk?.budget, trunk?.keep, trunk?.branches.length], [160, [80, 160, 320], 1]);
    assert.equal(trunksOf(ofSteps(100), 20, () => false)[0]?.budget, 0);
  });

  test('a trunk never has more branch points than its field takes', () => {
    const trunks = trunksOf(Array.from({ length: 130 }, (_, i) => ({ ...base, tokens: 1_000_000 * (i + 1) })), 20);
    assert.deepEqual(trunks.map(({ keep }) => keep.length), [64, 64, 2]);
    assert.equal(new Set(trunks.map(({ key }) => key)).size, 3);
  });

  test('a branch by tokens continues the first checkpoint that reached them, the last where the trunk ended before', () => {
    const history = [90, 60, 30].map((step) => ({ step, uri: `pvc://c/step-${step}`, tokens: 1000 * step }));
    const at = (from: number): number | undefined => branchStep({ unit: 'tokens', from }, history);
    assert.deepEqual([at(29_000), at(30_000), at(30_001), at(91_000)], [30, 30, 60, 90]);
    assert.deepEqual([60, 61].map((from) => branchStep({ unit: 'steps', from }, history)), [60, undefined]);
  });

  test('a trunk warms up no longer than its smallest branch would', () => {
    assert.equal(trunkWarmupPercent({ budget: 320, keep: [80, 320] }, 8), 2);
    assert.equal(trunkWarmupPercent({ budget: 3200, keep: [80] }, 3), 1);
    assert.equal(trunkWarmupPercent({ budget: 320, keep: [80] }, 0), 0);
  });
});
