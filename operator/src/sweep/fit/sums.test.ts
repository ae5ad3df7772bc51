import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fitLaw } from './fit.ts';
import { valueAt } from './law.ts';
import { needed, predict } from './predict.ts';
import { fitSum } from './sums.ts';
import { columnsOf } from './columns.ts';
import { drawnRuns, generatedPoints, valueNamed, within } from './testdata.ts';
import type { Fit, Observation } from './types.ts';

const of = (fit: Fit, name: string): number => valueNamed(fit.estimates, name).value;
const TRUE = { E: 1.7, A: 400, B: 410, alpha: 0.34, beta: 0.28 };

test('recovers the parameters of a joint law without noise to eight digits', () => {
  const runs = [1e7, 3e7, 1e8, 3e8, 1e9].flatMap((parameters) => [5, 20, 80].map((ratio): Observation => {
    const tokens = ratio * parameters;
    return { parameters, tokens, loss: 1.69 + 406.4 * parameters ** -0.34 + 410.7 * tokens ** -0.28 };
  }));
  const fit = fitLaw(runs, { form: 'joint', bootstrap: 0 });
  for (const [name, value] of Object.entries({ E: 1.69, A: 406.4, B: 410.7, alpha: 0.34, beta: 0.28 })) assert.ok(within(of(fit, name), value, 1e-8), `${name}: ${of(fit, name)}`);
});

test('covers the known parameters of the generated table, and predicts 10 times beyond it', () => {
  const fit = fitLaw(generatedPoints(), { form: 'joint', bootstrap: 300 });
  for (const [name, value] of Object.entries(TRUE)) {
    const { lower, upper } = valueNamed(fit.estimates, name);
    assert.ok(lower <= value && value <= upper, `${name}: ${lower} to ${upper} without ${value}`);
  }
  const far = predict(fit, { parameters: 1e10, tokens: 2e11 });
  const loss = 1.7 + 400 * 1e10 ** -0.34 + 410 * 2e11 ** -0.28;
  assert.ok(far.lower <= loss && loss <= far.upper && far.runLower < far.lower && far.runUpper > far.upper);
  assert.deepEqual(fit.codes, []);
});

test('no random parameters have a lower objective than the fit', () => {
  const solution = fitSum(columnsOf(generatedPoints(), 'joint'), 1e-3);
  fc.assert(fc.property(fc.array(fc.double({ min: -0.2, max: 0.2, noNaN: true }), { minLength: 5, maxLength: 5 }), (moves) =>
    valueAt(solution.problem, solution.theta.map((value, p) => value + moves[p]!)) >= solution.value * (1 - 1e-12)), { numRuns: 500 });
});

test('gives the same law in other units of size, tokens and loss, in another order, and with every point twice', () => {
  const runs = generatedPoints();
  const whole = fitLaw(runs, { form: 'joint', bootstrap: 0 });
  const scaled = fitLaw(runs.map((run) => ({ parameters: run.parameters! / 1e6, tokens: run.tokens! / 1e9, loss: run.loss * 7 })), { form: 'joint', bootstrap: 0 });
  const turned = fitLaw([...runs].reverse(), { form: 'joint', bootstrap: 0 });
  const twice = fitLaw([...runs, ...runs], { form: 'joint', bootstrap: 0 });
  for (const name of ['alpha', 'beta']) for (const other of [scaled, turned, twice]) assert.ok(within(of(other, name), of(whole, name), 1e-6), `${name} ${of(other, name)} ${of(whole, name)}`);
  assert.ok(within(of(scaled, 'E'), 7 * of(whole, 'E'), 1e-6));
  assert.ok(within(twice.objective, 2 * whole.objective, 1e-9));
});

test('gives the same numbers for the same seed and others for another', () => {
  const runs = drawnRuns((n) => 1.5 + 300 * n ** -0.35, { sizes: 8, span: 100, scatter: 0.003, seed: 4 });
  const fit = (seed: number): Fit => fitLaw(runs, { form: 'offset', bootstrap: 50, seed });
  assert.deepEqual(fit(1), fit(1));
  assert.notDeepEqual(fit(1).samples, fit(2).samples);
});

test('is not moved by wild points that pull least squares away', () => {
  const runs = drawnRuns((n) => 1.5 + 300 * n ** -0.35, { sizes: 20, span: 300, scatter: 0.002, seed: 3 });
  const wild = runs.map((run, i) => (i % 9 === 4 ? { ...run, loss: run.loss * 1.4, label: `wild-${i}` } : run));
  const fit = fitLaw(wild, { form: 'offset', bootstrap: 0 });
  assert.ok(Math.abs(predict(fit, { parameters: 1e10 }).loss / (1.5 + 300 * 1e10 ** -0.35) - 1) < 0.02);
  assert.match(fit.warnings.join(), /wild-4, wild-13/);
});

test('predicts a loss, and needs for that loss what was asked with', () => {
  const fit = fitLaw(generatedPoints(), { form: 'joint', bootstrap: 100 });
  const best = needed(fit, 2);
  assert.ok(best !== 'unreachable');
  assert.ok(within(predict(fit, { flops: best.flops!.value }).loss, 2, 1e-9));
  assert.ok(within(predict(fit, { parameters: best.parameters!.value, tokens: best.tokens!.value }).loss, 2, 1e-9));
  const given = needed(fit, 2.1, { parameters: 5e9 });
  assert.ok(given !== 'unreachable' && given.tokens!.lower < given.tokens!.value && given.tokens!.value < given.tokens!.upper!);
  assert.ok(within(predict(fit, { parameters: 5e9, tokens: given.tokens!.value }).loss, 2.1, 1e-9));
  assert.equal(needed(fit, 1.5), 'unreachable');
});
