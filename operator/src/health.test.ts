import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counter, Registry } from 'prom-client';
import { cacheProblems, deadlockProblems, serveHealth, serveMetrics, votingProblems } from './health.ts';

const cache = (hasSynced: boolean, lastSyncAt: number): { hasSynced: boolean; lastSyncAt: number; resource: { plural: string } } => ({ hasSynced, lastSyncAt, resource: { plural: 'jobs' } });

test('is ready only with full and current caches, and says which are not', () => {
  assert.deepEqual(cacheProblems([cache(true, 1_000_000)], 1_060_000), []);
  assert.deepEqual(cacheProblems([cache(false, 0)], 1), ['jobs: no full list yet']);
  assert.deepEqual(cacheProblems([cache(true, 1_000_000)], 1_400_000), ['jobs: last current 400 s ago']);
  assert.deepEqual(cacheProblems([{ ...cache(true, 0), isServed: false }], 1_400_000), []);
});

test('is ready only while it knows who leads, and is dead only when its election stands still', () => {
  assert.deepEqual(votingProblems({ state: 'waiting', silentMs: 2000, stuckMs: 0 }, 15_000), []);
  assert.deepEqual(votingProblems({ state: 'waiting', silentMs: Infinity, stuckMs: 0 }, 15_000), ['lease: not seen yet']);
  const cutOff = { state: 'waiting', silentMs: 600_000, stuckMs: 2000 };
  assert.deepEqual([votingProblems(cutOff, 15_000), deadlockProblems(cutOff)], [['lease: not seen for 600 s'], []]);
  assert.deepEqual(deadlockProblems({ state: 'leading', silentMs: 0, stuckMs: 130_000 }), ['election: no step for 130 s']);
});

test('answers over HTTP', async () => {
  const registry = new Registry();
  new Counter({ name: 'things_total', help: 'Things.', registers: [registry] }).inc(3);
  const [health, metrics] = [await serveHealth('127.0.0.1', 0, { live: () => [], ready: () => ['jobs: no full list yet'] }), await serveMetrics('127.0.0.1', 0, registry)];
  const ask = async (port: number, path: string): Promise<[number, string]> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return [response.status, await response.text()];
  };
  assert.deepEqual(await ask(health.port, '/healthz'), [200, 'ok\n']);
  assert.equal((await ask(health.port, '/readyz?verbose'))[0], 503);
  assert.equal((await ask(health.port, '/'))[0], 404);
  assert.match((await ask(metrics.port, '/metrics'))[1], /^things_total 3$/m);
  await Promise.all([health.close(), metrics.close()]);
});
