import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fitLaw } from '../fit/fit.ts';
import { seeded } from '../fit/random.ts';
import type { Fit } from '../fit/types.ts';
import type { PointRecord } from '../point.ts';
import type { Measured } from './candidate.ts';
import { flopsUntil, gridOf, replay } from './replay.ts';
import type { ReplayOptions } from './replay.ts';

const [SIZES, BUDGETS] = [[1e6, 2e6, 4e6, 8e6, 16e6], [2e7, 4e7, 8e7, 16e7, 32e7]] as const;

/** Losses of a law that is known, with so much scatter. */
function aGrid(seed: number, scatter = 0.005): Measured[] {
  const random = seeded(seed);
  return SIZES.flatMap((parameters) => BUDGETS.map((tokens) => ({
    id: `${parameters}-${tokens}`, parameters, tokens, flops: 6 * parameters * tokens, trunk: String(parameters),
    loss: (0.3 + 8 * parameters ** -0.34 + 12 * tokens ** -0.28) * Math.exp(scatter * random.normal()),
  })));
}

const fit = (measured: readonly Measured[]): Fit => fitLaw(measured, { form: 'joint', bootstrap: 0 });
const options: ReplayOptions = { law: { form: 'joint' }, target: { parameters: 2e8, tokens: 4e9 }, fit, cooldownPercent: 20 };

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

describe('a replay on a measured grid', () => {
  const replays = [1, 2, 3, 4].map((seed) => replay(aGrid(seed), options));

  test('knows the target as well as the grid for half its FLOPs, the median of seeds', () => {
    assert.ok(median(replays.map(({ ratio }) => ratio)) <= 0.5, replays.map(({ ratio }) => ratio.toFixed(3)).join(' '));
    assert.ok(replays.every(({ ratio, isEarly }) => isEarly && ratio <= 0.6129032258064517));
  });

  test('spends more for a narrower interval, and never more than the grid with cooldowns', () => {
    for (const one of replays) {
      const spent = [30, 10, 0].map((wider) => flopsUntil(one, wider) / one.gridFlops);
      assert.deepEqual(spent, spent.toSorted((a, b) => a - b));
      assert.ok(spent[2]! <= 0.613);
      assert.equal(flopsUntil(one, 10), one.plannedFlops);
    }
  });

  test('takes no interval for narrow before it is, however few points happen to say so', () => {
    for (const { steps, gridHalfWidthPercent } of replays) {
      for (const { widthOverGrid, halfWidthPercent } of steps) if (widthOverGrid !== undefined) assert.ok(widthOverGrid >= halfWidthPercent! / gridHalfWidthPercent);
    }
  });

  test('is the same when it is done again', () => {
    const small = aGrid(2).filter(({ parameters, tokens }) => parameters <= 4e6 && tokens <= 8e7);
    assert.deepEqual(replay(small, options), replay(small, options));
  });
});

test('the measured grid of a sweep is its finished points, at the FLOPs of separate runs', () => {
  const record: PointRecord = {
    id: 'a', point: { size: '1M', tokens: 100, learningRate: '0.003', batchTriplets: 64, seed: 0 }, outcome: 'Succeeded', run: { name: 'r', uid: 'u' },
    parameters: 12, parametersWithoutEmbedding: 10, tokens: 100, computedTokens: 120, steps: 5, naiveFlops: 6000, flops: 7200, gpuHours: 1, valLoss: 0.5, curve: [], completedTime: '2026-01-01T00:00:00Z',
  };
  const grid = gridOf([record, { ...record, outcome: 'Stopped' }, { ...record, outcome: 'Failed' }], 'total');
  assert.deepEqual(grid.map(({ parameters, flops, loss }) => [parameters, flops, loss]), [[12, 6000, 0.5]]);
  assert.equal(gridOf([record], 'withoutEmbedding')[0]?.parameters, 10);
});
