import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitLaw } from './fit.ts';
import { predict } from './predict.ts';
import { huber } from './law.ts';
import { keptPoints, noPublishedPoints, publishedPoints, TWELVE, valueNamed, within } from './testdata.ts';
import type { Fit } from './types.ts';

const skip = noPublishedPoints ?? false;
const of = (fit: Fit, name: string): number => valueNamed(fit.estimates, name).value;

function near(fit: Fit, wanted: Readonly<Record<string, readonly [value: number, relative: number]>>): void {
  for (const [name, [value, relative]] of Object.entries(wanted)) assert.ok(within(of(fit, name), value, relative), `${name}: ${of(fit, name)} instead of ${value}`);
}

test('finds the optimum of Huber\'s loss on the 240 published runs, lower than that of the published parameters', { skip }, () => {
  const fit = fitLaw(keptPoints(), { form: 'joint', bootstrap: 0 });
  assert.equal(fit.points, 240);
  assert.ok(fit.objective <= 1.018275e-3, `objective ${fit.objective}`);
  assert.ok(within(fit.objective, 1.018274e-3, 1e-6));
  near(fit, { A: [477.826, 1e-4], B: [2143.417, 1e-4], E: [1.817218, 1e-6], alpha: [0.347311, 1e-5], beta: [0.367172, 1e-5] });
  assert.ok(fit.r2 > 0.99);
});

test('scores the published and the original parameters as they are scored elsewhere', { skip }, () => {
  const score = (...[E, A, B, alpha, beta]: readonly [number, number, number, number, number]): number => keptPoints().reduce((sum, { parameters: N = 0, flops = 0, loss }) =>
    sum + huber(Math.log(loss) - Math.log(E + A * N ** -alpha + B * (flops / 6 / N) ** -beta), 1e-3), 0);
  assert.ok(within(score(1.81686, 482.01, 2085.43, 0.347813, 0.365854), 1.0186447e-3, 1e-4));
  assert.ok(within(score(Math.exp(0.5267228), Math.exp(6.0073404), Math.exp(6.0179186), 0.33917084, 0.2849083), 1.2311626e-3, 1e-5));
});

test('reaches the published parameters, which are those of least absolute errors, with a delta of 1e-6', { skip }, () => {
  const fit = fitLaw(keptPoints(), { form: 'joint', bootstrap: 0, delta: 1e-6 });
  near(fit, { A: [482.01, 1e-3], B: [2085.43, 1e-3], E: [1.81686, 1e-3], alpha: [0.347813, 1e-3], beta: [0.365854, 1e-3] });
  near(fit, { A: [481.93, 1e-4], B: [2085, 1e-4], E: [1.81684, 1e-5], alpha: [0.347804, 1e-5], beta: [0.365844, 1e-5] });
  assert.ok(within(fit.objective, 1.129376e-6, 1e-6), `objective ${fit.objective}`);
  const sum = fit.residuals.reduce((total, r) => total + Math.abs(r), 0);
  assert.ok(within(sum, 1.129495, 1e-5), `sum of absolute residuals ${sum}`);
});

test('finds the optimum with all 245 runs, and names the five that lie apart', { skip }, () => {
  const fit = fitLaw(publishedPoints(), { form: 'joint', bootstrap: 0 });
  assert.ok(within(fit.objective, 1.826011e-3, 1e-5));
  near(fit, { A: [495.73, 1e-3], B: [12845.6, 1e-3], E: [1.89134, 1e-4], alpha: [0.34931, 1e-4], beta: [0.45305, 1e-4] });
  assert.ok(fit.codes.includes('Outliers'));
});

test('gives standard errors and intervals within 20 % of the published ones from 1,000 resamples', { skip }, () => {
  const fit = fitLaw(keptPoints(), { form: 'joint' });
  const published = { A: 124.5, B: 1293, E: 0.0257, alpha: 0.0154, beta: 0.0206 };
  for (const [name, error] of Object.entries(published)) {
    const got = valueNamed(fit.estimates, name).standardError;
    assert.ok(within(got, error, 0.2), `standard error of ${name}: ${got} instead of ${error}`);
  }
  const widths = { E: 1.871 - 1.769, alpha: 0.373 - 0.317, beta: 0.415 - 0.331 };
  for (const [name, width] of Object.entries(widths)) {
    const { lower, upper } = valueNamed(fit.estimates, name);
    assert.ok(within(upper - lower, width, 0.2), `interval of ${name}: ${lower} to ${upper}`);
  }
  const shares = fit.samples.map((sample) => sample[4]! / (sample[3]! + sample[4]!)).sort((left, right) => left - right);
  assert.ok(Math.abs(shares[25]! - 0.481) < 0.01 && Math.abs(shares[974]! - 0.557) < 0.01, `exponent of the best size: ${shares[25]} to ${shares[974]}`);
  assert.ok(predict(fit, { flops: 5.76e23 }).lower > predict(fit, { flops: 5.76e24 }).lower);
});

test('finds the published power law of the compute-optimal size in twelve pairs', () => {
  const fit = fitLaw(TWELVE.map(([flops, loss]) => ({ flops, loss })), { form: 'power', axis: 'flops' });
  near(fit, { a: [0.497029, 2e-5], b: [0.118199, 2e-4] });
  assert.ok(Math.abs(fit.r2 - 0.997463) < 2e-6, `R2 ${fit.r2}`);
});
