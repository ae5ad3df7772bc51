// docs/operations.md and the code say the same.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { usage } from './config.ts';
import { ingestMetrics } from './ingest/metrics.ts';
import { runMetrics } from './run/metrics.ts';
import { registry } from './runtime/metrics.ts';

const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');
const rows = (first: RegExp): string[][] => page.split('\n').map((line) => line.split('|').map((cell) => cell.trim())).filter(([, cell = '']) => first.test(cell));

interface Described { readonly name: string; readonly help: string; readonly labelNames?: readonly string[] }

test('lists exactly the metrics there are, with their types and labels', async () => {
  const others = new Registry();
  ingestMetrics(others);
  runMetrics({ registry: others, runsOf: () => [], isLeading: () => true, maxSeries: 1, now: Date.now });
  const labels = new Map([registry, others].flatMap((one) => one.getMetricsAsArray() as unknown as Described[]).map(({ name, labelNames = [] }) => [name, labelNames.join(', ')]));
  const types = [...(await registry.getMetricsAsJSON()), ...(await others.getMetricsAsJSON())].map(({ name, type }) => [name, String(type), labels.get(name) ?? '']);
  const documented = rows(/^`(polar|controller_runtime|workqueue|rest_client|leader_election)_\w+`$/).map(([, name = '', type, names]) => [name.replaceAll('`', ''), type, names]);
  assert.deepEqual(documented.toSorted(), types.toSorted());
});

test('explains every metric in its own words on the endpoint', async () => {
  for (const { name, help } of await registry.getMetricsAsJSON()) assert.ok(help.length > 15, name);
});

test('lists exactly the flags and variables there are', () => {
  const inHelp = [...usage().matchAll(/^ {2}(--[\w-]+) .*\((\w+)\)$/gm)].map(([, flag, variable]) => [flag, variable]);
  const documented = rows(/^`--[\w-]+`$/).map(([, flag = '', variable = '']) => [flag.replaceAll('`', ''), variable.replaceAll('`', '')]);
  assert.ok(inHelp.length > 10);
  assert.deepEqual(documented.toSorted(), inHelp.toSorted());
});
