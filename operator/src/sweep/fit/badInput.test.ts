import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FitError } from './error.ts';
import { fitLaw } from './fit.ts';
import { needed, predict } from './predict.ts';
import { drawnRuns } from './testdata.ts';
import type { Fit, FitOptions, Form, Observation } from './types.ts';

const runs = drawnRuns((n) => 3 * n ** -0.05, { sizes: 8, span: 100, scatter: 0.01, seed: 1 });
const refused = (observations: readonly Observation[], options: FitOptions, message: RegExp): void => {
  assert.throws(() => fitLaw(observations, options), (error) => error instanceof FitError && message.test(error.message));
};
const changed = (change: Partial<Record<keyof Observation, unknown>>): Observation[] => runs.map((run, i) => (i === 3 ? { ...run, ...change } as Observation : run));

test('names the cell that is missing or no positive number', () => {
  for (const bad of [Number.NaN, Infinity, 0, -1, '2', null]) refused(changed({ loss: bad }), { form: 'power' }, /^observations\[3\]\.loss: expected a finite number above 0, got /);
  refused(changed({ parameters: 0 }), { form: 'power' }, /^observations\[3\]\.parameters: .* got 0$/);
  refused(changed({ parameters: undefined }), { form: 'power' }, /^observations\[3\]\.parameters: expected a finite number above 0, or tokens and flops to take it from, got nothing$/);
  refused(runs, { form: 'joint' }, /^observations\[0\]\.tokens: .*parameters and flops/);
  refused(runs, { form: 'offset', axis: 'flops' }, /^observations\[0\]\.flops: /);
});

test('says how many points and sizes a form needs', () => {
  refused(runs.slice(0, 2), { form: 'power' }, /at least 3 for the form power, got 2/);
  refused([], { form: 'joint' }, /at least 6 for the form joint, got 0/);
  refused(runs.map((run) => ({ ...run, parameters: 1e8 })), { form: 'power' }, /parameters: expected at least 2 different values .* got one \(100000000\)/);
  refused(runs.map((run, i) => ({ ...run, parameters: i % 2 ? 1e8 : 1e9 })), { form: 'offset' }, /at least 3 different values/);
});

test('names the option that is wrong', () => {
  refused(runs, { form: 'cubic' as Form }, /options\.form: expected power, offset or joint, got cubic/);
  refused(runs, { form: 'power', delta: 0 }, /options\.delta/);
  refused(runs, { form: 'power', bootstrap: 1.5 }, /options\.bootstrap/);
  refused(runs, { form: 'power', confidence: 95 }, /options\.confidence/);
  const fit = fitLaw(runs, { form: 'power', bootstrap: 0 });
  assert.throws(() => predict(fit, {}), /at\.parameters: /);
  assert.throws(() => predict(fit, { parameters: -1 }), /at\.parameters: .* got -1/);
  assert.throws(() => needed(fit, Number.NaN), /loss: /);
});

test('warns, without a number that is not one, when every loss is the same', () => {
  for (const form of ['power', 'offset'] as const) {
    const fit = fitLaw(runs.map((run) => ({ ...run, loss: 2 })), { form, bootstrap: 20 });
    assert.ok(fit.codes.includes('NoVariation'), fit.codes.join());
    finite(fit);
    assert.ok(Math.abs(predict(fit, { parameters: 1e10 }).loss - 2) < 1e-6);
    assert.equal(needed(fit, 1), 'unreachable');
  }
});

function finite(fit: Fit): void {
  const text = JSON.stringify(fit);
  assert.ok(!text.includes('null'), text.slice(0, 400));
}

test('gives finite numbers and ordered intervals for any table of positive numbers', () => {
  const cell = fc.double({ min: -3, max: 25, noNaN: true }).map((x) => 10 ** x);
  const table = fc.array(fc.record({ parameters: cell, tokens: cell, loss: fc.double({ min: -2, max: 2, noNaN: true }).map((x) => 10 ** x) }), { minLength: 3, maxLength: 12 });
  fc.assert(fc.property(table, fc.constantFrom<Form>('power', 'offset', 'joint'), (observations, form) => {
    let fit: Fit;
    try {
      fit = fitLaw(observations, { form, bootstrap: 10 });
    } catch (error) {
      assert.ok(error instanceof FitError, String(error));
      return;
    }
    finite(fit);
    for (const { name, lower, value, upper } of fit.estimates) assert.ok(lower <= value && value <= upper, `${name} ${lower} ${value} ${upper}`);
    const at = predict(fit, { parameters: 1e9, tokens: 1e10 });
    assert.ok(Object.values(at).every((value: number) => !Number.isNaN(value)), JSON.stringify(at));
  }), { numRuns: 150 });
});
