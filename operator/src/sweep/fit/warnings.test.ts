import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitLaw } from './fit.ts';
import { frontier } from './frontier.ts';
import { stress } from './stress.ts';
import { drawnRuns, generatedPoints, valueNamed, within } from './testdata.ts';
import type { FitOptions, Observation, WarningCode } from './types.ts';

const power = (n: number): number => 0.9 * n ** -0.0425;
const floored = (n: number): number => 1.5 + 300 * n ** -0.35;
const wide = { sizes: 10, span: 300, scatter: 0.002, seed: 8 };

function warned(observations: readonly Observation[], options: FitOptions, code: WarningCode, message: RegExp): void {
  const fit = fitLaw(observations, { bootstrap: 200, ...options });
  const at = fit.codes.indexOf(code);
  assert.ok(at >= 0, `${code} is not among ${fit.codes.join()}`);
  assert.match(fit.warnings[at]!, message);
}

test('says nothing against a table that shows its law', () => {
  assert.deepEqual(fitLaw(drawnRuns(power, wide), { form: 'power' }).warnings, []);
  assert.deepEqual(fitLaw(drawnRuns(floored, wide), { form: 'offset', bootstrap: 200 }).warnings, []);
});

test('warns of sizes that span too little, and of points that are too few', () => {
  warned(drawnRuns(power, { ...wide, span: 4 }), { form: 'power' }, 'SpanTooSmall', /sizes span a factor of 4\.00/);
  warned(drawnRuns(floored, { ...wide, sizes: 5 }), { form: 'offset' }, 'TooFewPoints', /5 points for 3 parameters: at least 6/);
});

test('warns of an offset that the points do not show', () => {
  warned(drawnRuns(power, { ...wide, seed: 1, scatter: 0.01 }), { form: 'offset' }, 'OffsetNotResolved', /interval of E reaches 0/);
  warned(drawnRuns((n) => 0.9 - 0.02 * Math.log(n / 1e7) - 0.001 * Math.log(n / 1e7) ** 2, { ...wide, scatter: 1e-4 }), { form: 'offset', bootstrap: 50 }, 'OffsetAtZero', /E is 0/);
});

test('warns of a power law that bends, of a loss that rises, and of an exponent that may be 0', () => {
  warned(drawnRuns(floored, wide), { form: 'power' }, 'Curvature', /an offset may be missing/);
  warned(drawnRuns((n) => n ** 0.1, wide), { form: 'power' }, 'LossRises', /rises with parameters/);
  warned(drawnRuns(() => 2, { ...wide, seed: 2 }), { form: 'power' }, 'ExponentIncludesZero', /interval of a includes 0/);
});

test('warns of parameters and tokens that are not told apart', () => {
  warned(generatedPoints().map((run, i) => ({ ...run, tokens: run.parameters! * (20 + 0.01 * (i % 3)) })), { form: 'joint', bootstrap: 20 }, 'Collinear', /grow together/);
});

test('warns when the largest size is not what the others say', () => {
  const runs = drawnRuns(power, wide);
  const bent = runs.map((run, i) => (i === runs.length - 1 ? { ...run, loss: run.loss * 1.06 } : run));
  const fit = fitLaw(bent, { form: 'power' });
  assert.ok(fit.extrapolation!.heldOut === 1 && fit.extrapolation!.bias < -0.05 && within(fit.extrapolation!.error, -fit.extrapolation!.bias, 1e-9));
});

test('takes the compute frontier from whole curves, and it has the exponent of the best split', () => {
  const loss = (n: number, d: number): number => 300 * n ** -0.3 + 300 * d ** -0.3;
  const curves = Array.from({ length: 20 }, (_, k) => {
    const parameters = 1e6 * 1.5 ** k;
    return { parameters, points: Array.from({ length: 40 }, (__, i) => { const tokens = 1e6 * 1.5 ** i; return { flops: 6 * parameters * tokens, loss: loss(parameters, tokens) }; }) };
  });
  const points = frontier(curves, 30).slice(6, -10);
  assert.ok(points.every((point, i) => i === 0 || point.loss < points[i - 1]!.loss));
  const fit = fitLaw(points, { form: 'power', axis: 'flops' });
  assert.ok(Math.abs(valueNamed(fit.estimates, 'a').value + 0.15) < 0.003, String(fit.estimates[1]?.value));
  assert.throws(() => frontier([{ parameters: 1, points: [] }]), /curves\[0\]\.points: expected at least one, got none/);
  assert.throws(() => frontier([{ parameters: 1, points: [{ flops: 1, loss: Number.NaN }] }]), /curves\[0\]\.points\[0\]\.loss/);
});

test('reports what the extremes say of the sizes between them, and how the exponent shifts with data in proportion', () => {
  const straight = stress(drawnRuns(power, wide), { form: 'power' });
  assert.ok('skipped' in straight.proportional && /tokens/.test(straight.proportional.skipped));
  const grid = generatedPoints();
  const { extremes, proportional } = stress(grid, { form: 'joint' });
  assert.ok(!('skipped' in extremes) && extremes.heldOut!.error < 0.01 && extremes.exponents.length === 2);
  assert.ok('skipped' in proportional);
  const single = stress(grid, { form: 'power' });
  assert.ok(!('skipped' in single.proportional) && single.proportional.points === 8 && Math.abs(single.proportional.exponents[0]!.shift) > 1e-4);
  const few = stress(grid.filter((run) => run.parameters! < 3e7), { form: 'offset' });
  assert.ok('skipped' in few.extremes && /3 sizes/.test(few.extremes.skipped));
});
