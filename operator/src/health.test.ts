import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Counter, Registry } from 'prom-client';
import { readiness, serveHealth, serveMetrics } from './health.ts';

const cache = (hasSynced: boolean, lastSyncAt: number): { hasSynced: boolean; lastSyncAt: number; resource: { plural: string } } => ({ hasSynced, lastSyncAt, resource: { plural: 'jobs' } });

test('is ready only with full and current caches, and says which are not', () => {
  assert.deepEqual(readiness([cache(true, 1_000_000)], 1_060_000), { status: 200, body: 'ok\n' });
  assert.deepEqual(readiness([cache(false, 0)], 1), { status: 503, body: 'jobs: no full list yet\n' });
  assert.deepEqual(readiness([cache(true, 1_000_000)], 1_400_000), { status: 503, body: 'jobs: last current 400 s ago\n' });
});

test('answers over HTTP', async () => {
  const registry = new Registry();
  new Counter({ name: 'things_total', help: 'Things.', registers: [registry] }).inc(3);
  const [health, metrics] = [await serveHealth('127.0.0.1', 0, [cache(false, 0)]), await serveMetrics('127.0.0.1', 0, registry)];
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
