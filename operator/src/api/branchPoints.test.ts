import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listedSteps } from './branchPoints.ts';

const history = [600, 500, 300, 100].map((step) => ({ step, uri: `pvc://c/step-${step}`, tokens: step * 1000 }));

test('listed steps stay, and of each number of tokens the first checkpoint that reaches it', () => {
  assert.deepEqual(listedSteps(history, { keepSteps: [100, 700], keepTokens: ['0.3M', '301K', '5M'] }), [100, 700, 300, 500]);
  assert.deepEqual(listedSteps(history, {}), []);
});

test('a checkpoint that does not say its tokens is not taken for a branch point', () => {
  assert.deepEqual(listedSteps([{ step: 5, uri: 'pvc://c/step-5' }], { keepTokens: ['1'] }), []);
});
