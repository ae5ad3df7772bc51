import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sweepSpec } from '../api/sweep.ts';
import { sweepStatus } from '../api/sweepStatus.ts';
import type { HyperLawStatus } from '../api/sweepStatus.ts';
import { lawsOf } from './laws.ts';
import { optimaFields } from './optima.ts';
import type { PointRecord } from './point.ts';

const fit = sweepSpec.shape.fit.parse({});
const SIZES: Readonly<Record<string, number>> = { '1M': 1e6, '3M': 3e6, '10M': 1e7, '30M': 3e7 };
const RATES = ['0.0003', '0.0005', '0.001', '0.002', '0.003', '0.006'];

interface Wanted {
  readonly sizes?: readonly string[];
  readonly tokens?: readonly number[];
  readonly rates?: readonly string[];
  readonly batches?: readonly number[];
  readonly seeds?: readonly number[];
  readonly loss: (at: { parameters: number; tokens: number; rate: number; batch: number; seed: number }) => number;
}

function records({ sizes = ['1M'], tokens = [5e6], rates = ['0.001'], batches = [64], seeds = [0], loss }: Wanted): readonly PointRecord[] {
  return sizes.flatMap((size) => tokens.flatMap((budget) => rates.flatMap((learningRate) => batches.flatMap((batchTriplets) => seeds.map((seed) => {
    const parameters = SIZES[size] ?? 0;
    const valLoss = loss({ parameters, tokens: budget, rate: Number(learningRate), batch: batchTriplets, seed });
    const id = [size, budget, learningRate, batchTriplets, seed].join('/');
    return {
      id, point: { size, tokens: budget, learningRate, batchTriplets, seed }, outcome: 'Succeeded', run: { name: id, uid: id }, parameters, parametersWithoutEmbedding: parameters,
      tokens: budget + batchTriplets * 100, computedTokens: budget, steps: 10, naiveFlops: 1, flops: 1, gpuHours: 0, valLoss, curve: [], completedTime: '2026-01-01T00:00:00Z',
    };
  })))));
}

const valley = (rate: number, best: number): number => 0.5 + 0.02 * Math.log(rate / best) ** 2;
const bestRate = (parameters: number, tokens: number): number => 0.001 * (parameters / 1e6) ** -0.2 * (tokens / 5e6) ** 0.3;

function onlyLaw(laws: readonly HyperLawStatus[] | undefined): HyperLawStatus {
  const [law] = laws ?? [];
  assert.ok(law !== undefined && laws?.length === 1);
  return law;
}

function exponents({ coefficients = [] }: HyperLawStatus): readonly string[] {
  return coefficients.slice(1).map(({ value }) => Number(value).toFixed(2));
}

test('tells the best learning rate of every size and budget, and refits the law over them', () => {
  const all = records({ sizes: ['1M', '3M', '10M'], tokens: [5e6, 1e7], rates: RATES, seeds: [0, 1], loss: ({ parameters, tokens, rate, seed }) => valley(rate, bestRate(parameters, tokens)) + 1e-5 * seed });
  const { fields } = lawsOf({ records: all, fit, targets: [] });
  assert.equal(fields.optima?.length, 6);
  for (const { of, size = '', tokens, value, lower, upper, runs, degree } of fields.optima ?? []) {
    assert.deepEqual([of, runs, degree], ['learningRate', 12, 4]);
    assert.ok(Math.abs(Number(value) / bestRate(SIZES[size] ?? 0, Number(tokens)) - 1) < 0.01, `${size} ${String(tokens)}: ${value}`);
    assert.ok(Number(lower) <= Number(value) && Number(value) <= Number(upper));
  }
  const law = onlyLaw(fields.hyperLaws);
  assert.deepEqual([law.of, law.points, law.coefficients?.map(({ name }) => name)], ['learningRate', 6, ['coefficient', 'parameters', 'tokens']]);
  assert.deepEqual(exponents(law), ['-0.20', '0.30']);
  assert.match(law.message ?? '', /tokens of the base model are left out/);
  sweepStatus.parse(fields);
});

test('uses a quadratic with fewer than five rates, and says nothing with fewer than three', () => {
  const [optimum] = optimaFields(records({ rates: RATES.slice(0, 4), loss: ({ rate }) => valley(rate, 0.0008) }), fit).optima ?? [];
  assert.ok(Math.abs(Number(optimum?.value) - 0.0008) < 1e-6 && optimum?.degree === 2);
  assert.match(optimum?.message ?? '', /a quadratic is used/);
  assert.deepEqual(optimaFields(records({ rates: RATES.slice(0, 2), loss: () => 0.5 }), fit), { optima: [], hyperLaws: [] });
});

test('says when the best value is outside those tried, and leaves it out of the law', () => {
  const { optima = [], hyperLaws = [] } = optimaFields(records({ sizes: ['1M', '3M', '10M', '30M'], batches: [16, 32, 64, 128], loss: ({ parameters, batch }) => valley(batch, 30 * (parameters / 1e6) ** 0.5) }), fit);
  assert.deepEqual(optima.map(({ of, size }) => [of, size]), [['batchTriplets', '1M'], ['batchTriplets', '3M'], ['batchTriplets', '10M'], ['batchTriplets', '30M']]);
  assert.match(optima[3]?.message ?? '', /the lowest loss is at the edge of what was tried/);
  assert.equal(optima[0]?.message, undefined);
  const law = onlyLaw(hyperLaws);
  assert.match(law.message ?? '', /1 of 4 optima at the edge/);
  assert.deepEqual([law.points, exponents(law)], [3, ['0.50']]);
});

test('takes every learning rate at its best batch, and every batch at its best learning rate', () => {
  const { optima = [] } = optimaFields(records({ rates: RATES, batches: [32, 64, 128], loss: ({ rate, batch }) => valley(rate, 0.001) + valley(batch, 64) }), fit);
  assert.deepEqual(optima.map(({ of, runs }) => [of, runs]), [['learningRate', 6], ['batchTriplets', 3]]);
  assert.ok(Math.abs(Number(optima[0]?.value) - 0.001) < 1e-5 && Math.abs(Number(optima[1]?.value) - 64) < 0.1);
});

test('says why there is no law, and skips what was not trained to its end', () => {
  const all = records({ sizes: ['1M', '3M'], rates: RATES, loss: ({ parameters, rate }) => valley(rate, bestRate(parameters, 5e6)) });
  const law = onlyLaw(optimaFields(all, fit).hyperLaws);
  assert.deepEqual([law.coefficients, law.points], [undefined, 2]);
  assert.match(law.message ?? '', /no law: optima: expected at least 3 .* got 2/);
  assert.deepEqual(optimaFields(all.map((record) => ({ ...record, outcome: 'Stopped' as const })), fit), { optima: [], hyperLaws: [] });
});

test('stays within the lists and kilobytes of a status with a hundred scales, and does not fail on rates that hardly differ', () => {
  const tokens = Array.from({ length: 25 }, (_, i) => 1e6 * 1.3 ** i);
  const fields = optimaFields(records({ sizes: Object.keys(SIZES), tokens, rates: RATES.slice(0, 3), batches: [8, 16, 32], loss: ({ rate, batch }) => rate + batch }), fit);
  sweepStatus.parse(fields);
  assert.equal(fields.optima?.length, 20);
  assert.ok(JSON.stringify(fields).length < 16_000, String(JSON.stringify(fields).length));
  const close = optimaFields(records({ rates: ['0.001', '0.0010000000001', '0.001000000002', '0.00100000003', '0.0010000004', '0.00100000041'], loss: ({ rate }) => valley(rate, 0.001) }), fit);
  sweepStatus.parse(close);
});
