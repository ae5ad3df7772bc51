import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pretrainSpec } from '../api/pretrain.ts';
import type { PretrainSpec } from '../api/pretrain.ts';
import { batchLaw, learningRateLaw, resolvedOptimizer, resolveLaws } from './laws.ts';
import type { Resolved } from './laws.ts';

const specWith = (model: object, budget: object = { tokens: '50B' }, optimizer: object = { learningRate: 'auto', batchTriplets: 'auto' }): PretrainSpec =>
  pretrainSpec.parse({ model, budget, optimizer, data: { uri: 'pvc://data/x' }, checkpoint: { store: { pvc: 'runs' } } });

const resolved = (spec: PretrainSpec): Resolved => {
  const found = resolveLaws(spec);
  assert.ok(found !== undefined && typeof found !== 'string', JSON.stringify(found));
  return found;
};

const refusal = (spec: PretrainSpec): string => {
  const found = resolveLaws(spec);
  return typeof found === 'string' ? found : '';
};

describe('the laws', () => {
  test('give the published learning rate and batch of POLAR-1.8B', () => {
    const input = { parameters: 1.8e9, pretrainedTokens: 2.5e12, tokens: 0.94e12 };
    assert.equal(learningRateLaw(input).toPrecision(2), '0.000014');
    assert.equal(Math.round(batchLaw(input)), 1940);
  });
  test('give the published learning rate and batch of POLAR-7B', () => {
    const input = { parameters: 7e9, pretrainedTokens: 4e12, tokens: 3.6e12 };
    assert.equal(learningRateLaw(input).toPrecision(3), '0.0000167');
    assert.equal(Math.round(batchLaw(input)), 4343);
  });
});

describe('optimizer auto', () => {
  test('is what a manifest of POLAR-1.8B resolves to', () => {
    const got = resolved(specWith({ size: '1.8B', init: { uri: 'pvc://w/internlm2_5-1_8b', pretrainedTokens: '2.5T' } }, { tokens: '0.94T' }));
    assert.deepEqual(got, {
      learningRate: '0.00001429', batchTriplets: 1940, parameters: 1.8e9, parametersFrom: 'model.size 1.8B, as the paper rounds it',
      extrapolated: '1.8B parameters are outside 115M to 924M, 940B tokens are outside 24B to 104B',
    });
  });
  test('takes the parameters of other presets with the vocabulary of the paper', () => {
    const got = resolved(specWith({ size: '300M', init: { uri: 'pvc://w/x', pretrainedTokens: '150B' } }));
    assert.equal(got.parametersFrom, 'model.size 300M with a vocabulary of 92544');
    assert.ok(got.parameters > 385e6 && got.parameters < 405e6, String(got.parameters));
    assert.equal(got.extrapolated, '');
  });
  test('takes the parameters that are given for weights without a preset', () => {
    const got = resolved(specWith({ init: { uri: 'pvc://w/x', pretrainedTokens: '150B', parameters: '390M' } }));
    assert.deepEqual([got.parameters, got.parametersFrom], [390e6, 'model.init.parameters']);
  });
  test('counts the parameters of an architecture whose vocabulary is given', () => {
    const architecture = { hiddenSize: 8, numLayers: 1, numHeads: 2, numKeyValueHeads: 1, intermediateSize: 8, ropeTheta: 10_000 };
    const got = resolved(specWith({ architecture, tokenizer: { vocabSize: 300 }, init: { uri: 'pvc://w/x', pretrainedTokens: '150B' } }));
    assert.equal(got.parameters, 300 * 8 + (2 * 64 + 2 * 32 + 3 * 64 + 16) + 8 + 8);
  });
  test('says what is missing when the parameters are not known', () => {
    assert.match(refusal(specWith({ init: { uri: 'pvc://w/x', pretrainedTokens: '150B' } })), /needs the number of parameters/);
  });
  test('says what is missing when the budget is in steps', () => {
    assert.match(refusal(specWith({ size: '1.8B', init: { uri: 'pvc://w/x', pretrainedTokens: '2T' } }, { steps: 5 })), /needs budget.tokens/);
  });
  test('leaves the number that is given beside it', () => {
    const spec = specWith({ size: '1.8B', init: { uri: 'pvc://w/x', pretrainedTokens: '2T' } }, { tokens: '1T' }, { learningRate: 'auto', batchTriplets: 64 });
    assert.equal(resolvedOptimizer(spec).batchTriplets, 64);
    assert.match(resolvedOptimizer(spec).learningRate, /^0\.0000\d+$/);
  });
  test('is nothing when both numbers are given', () => {
    const spec = specWith({ size: '1.8B' }, { steps: 5 }, { learningRate: '0.001', batchTriplets: 64 });
    assert.equal(resolveLaws(spec), undefined);
    assert.deepEqual([resolvedOptimizer(spec).learningRate, resolvedOptimizer(spec).batchTriplets], ['0.001', 64]);
  });
});
