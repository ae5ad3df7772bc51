import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hyperLaws, optima } from './sweepOptima.ts';

test('prints optima and their laws in the digits of the status, with what is to be doubted', () => {
  const table = optima([
    { of: 'learningRate', size: '1M', parameters: '1e+06', tokens: '5e+06', value: '0.00102', lower: '0.0009', upper: '0.0012', loss: '0.61', runs: 6, degree: 4 },
    { of: 'batchTriplets', parameters: '3e+06', value: '128', message: 'the lowest loss is at the edge' },
  ]);
  assert.match(table, /^learning rate +1M +1M +5M +0\.00102 +0\.0009 +0\.0012 +0\.61 +6$/m);
  assert.match(table, /^batch +- +3M +- +128 +- +- +- +- +the lowest loss is at the edge$/m);
  const laws = hyperLaws([
    { of: 'learningRate', points: 6, r2: '0.98', coefficients: [{ name: 'coefficient', value: '0.001' }, { name: 'parameters', value: '-0.2', lower: '-0.3', upper: '-0.1' }], message: 'tokens do not vary' },
    { of: 'batchTriplets', points: 2, message: 'no law: too few' },
  ]);
  assert.match(laws, /^learning rate +0\.98 +6 +coefficient +0\.001 +- +- +tokens do not vary\n +exponent of parameters +-0\.2 +-0\.3 +-0\.1$/m);
  assert.match(laws, /^batch +- +2 +- +- +- +- +no law: too few$/m);
  assert.deepEqual([optima([]), hyperLaws([])], ['', '']);
});
