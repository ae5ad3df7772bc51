import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ChartSource } from './chart.ts';
import { chartOf, ticks } from './chart.ts';
import { plain } from './style.ts';
import { textPlot } from './textPlot.ts';

const law = { form: 'power', axis: 'parameters', values: { b: 0.9, a: -0.0425 } } as const;
const source: ChartSource = {
  title: 'paper', law, note: '', heldOut: [{ parameters: 1e9, loss: 0.376 }],
  fitted: [5e7, 1e8, 2e8, 4e8].map((parameters, index) => ({ parameters, loss: 0.9 * parameters ** -0.0425 * (index % 2 === 0 ? 1.004 : 0.996) })),
  targets: [{ name: '7b', parameters: 7e9, loss: 0.3434, lower: 0.335, upper: 0.352 }],
  interval: ({ parameters = 1 }) => ({ lower: 0.9 * parameters ** -0.0425 * 0.99, upper: 0.9 * parameters ** -0.0425 * 1.01 }),
};

const golden = (name: string): string => readFileSync(join(import.meta.dirname, 'testdata', name), 'utf8');

test('draws runs, law, interval, held-out runs and predictions in characters', () => {
  assert.equal(`${textPlot(chartOf(source), 100, plain)}\n`, golden('plot.txt'));
});

test('fits the width of the terminal, between 40 and 110 characters', () => {
  for (const [columns, width] of [[20, 40], [60, 59], [500, 110]] as const) {
    const lines = textPlot(chartOf({ ...source, targets: [] }), columns, plain).split('\n');
    assert.equal(Math.max(...lines.slice(0, -1).map((line) => line.length)), width);
  }
});

test('draws a joint law over FLOPs as the least loss they buy', () => {
  const joint = chartOf({ ...source, law: { form: 'joint', values: { E: 1.8, A: 480, B: 2100, alpha: 0.35, beta: 0.37 } }, fitted: [{ parameters: 1e8, tokens: 1e9, loss: 4 }, { parameters: 1e9, tokens: 2e10, loss: 2.6 }], heldOut: [], targets: [] });
  assert.deepEqual(joint.points.map(({ x }) => x), [6e17, 1.2e20]);
  assert.ok(joint.curve.every(({ y }, index) => index === 0 || y < (joint.curve[index - 1]?.y ?? 0)));
  assert.ok((joint.curve[0]?.y ?? 9) <= 4 && (joint.curve.at(-1)?.y ?? 9) <= 2.6, 'no run beats the frontier it lies on or above');
});

test('marks logarithmic axes at round values, never more than there is room for', () => {
  assert.deepEqual(ticks([9e5, 2e9], 9), [1e6, 3e6, 1e7, 3e7, 1e8, 3e8, 1e9]);
  assert.deepEqual(ticks([1.9, 3.5], 9), [2, 2.2, 2.4, 2.6, 2.8, 3, 3.2, 3.4]);
  for (const domain of [[1, 1.0001], [0.3, 0.6], [1e18, 1e24], [1e3, 1e30]] as const) {
    const values = ticks(domain, 8);
    assert.ok(values.length >= 2 && values.length <= 11, `${JSON.stringify(domain)}: ${JSON.stringify(values)}`);
    assert.ok(values.every((value) => value >= domain[0] && value <= domain[1]));
  }
});
