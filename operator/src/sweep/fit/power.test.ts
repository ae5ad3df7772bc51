import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fitLaw } from './fit.ts';
import { predict } from './predict.ts';
import { drawnRuns, valueNamed } from './testdata.ts';
import type { Observation } from './types.ts';

const law = (parameters: number): number => 0.9 * parameters ** -0.0425;

test('covers the exponent and the loss of synthetic power laws in 93.5 to 96.5 % of 2,000 seeds', () => {
  let exponent = 0;
  let loss = 0;
  let run = 0;
  for (let seed = 0; seed < 2000; seed++) {
    const runs = drawnRuns(law, { sizes: 9, span: 30, scatter: 0.01, seed });
    const fit = fitLaw(runs.slice(0, 8), { form: 'power', bootstrap: 0 });
    const a = valueNamed(fit.estimates, 'a');
    if (a.lower <= -0.0425 && -0.0425 <= a.upper) exponent += 1;
    const far = predict(fit, { parameters: 3e8 });
    if (far.lower <= law(3e8) && law(3e8) <= far.upper) loss += 1;
    if (far.runLower <= runs[8]!.loss && runs[8]!.loss <= far.runUpper) run += 1;
  }
  for (const [name, covered] of Object.entries({ exponent, loss, run })) assert.ok(covered >= 1870 && covered <= 1930, `${name} covered in ${covered / 20} %`);
});

test('gives the slope, error and interval of a textbook regression', () => {
  const fit = fitLaw([1, 2, 3, 4].map((x, i) => ({ parameters: Math.exp(x), loss: Math.exp([1, 3, 2, 5][i]!) })), { form: 'power' });
  const a = valueNamed(fit.estimates, 'a');
  assert.ok(Math.abs(a.value - 1.1) < 1e-12);
  assert.ok(Math.abs(a.standardError - Math.sqrt(2.7 / 2 / 5)) < 1e-12);
  assert.ok(Math.abs(a.upper - a.value - 4.302652729911275 * a.standardError) < 1e-8);
  assert.ok(Math.abs(fit.r2 - (1 - 2.7 / 8.75)) < 1e-12);
});

const points = fc.array(fc.tuple(fc.double({ min: 5, max: 12, noNaN: true }), fc.double({ min: -0.2, max: 0.2, noNaN: true })), { minLength: 5, maxLength: 20 })
  .filter((list) => new Set(list.map(([x]) => x.toFixed(2))).size > 3)
  .map((list): Observation[] => list.map(([x, noise]) => ({ parameters: 10 ** x, loss: 3 * 10 ** (-0.05 * x) * Math.exp(noise) })));
const exponentOf = (runs: readonly Observation[]): number => valueNamed(fitLaw(runs, { form: 'power', bootstrap: 0 }).estimates, 'a').value;

test('gives the same exponent in any unit and any order, and when every point comes twice', () => {
  fc.assert(fc.property(points, fc.double({ min: 1e-3, max: 1e6, noNaN: true }), (runs, unit) => {
    const a = exponentOf(runs);
    const same = (other: number): boolean => Math.abs(other - a) < 1e-8 * (1 + Math.abs(a));
    return same(exponentOf(runs.map((run) => ({ parameters: run.parameters! * unit, loss: run.loss / unit }))))
      && same(exponentOf([...runs].reverse())) && same(exponentOf([...runs, ...runs]));
  }), { numRuns: 100 });
});
