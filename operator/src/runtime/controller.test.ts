import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiError } from './apiError.ts';
import { TerminalError, runController } from './controller.ts';
import type { Reconcile } from './controller.ts';
import type { Log } from './log.ts';
import { reconcileTotal } from './metrics.ts';
import { WorkQueue } from './queue.ts';

const lines: string[] = [];
const log: Log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: (_fields, message) => lines.push(message), child: () => log };
const synced = { hasSynced: true, resource: { plural: 'things' } };

/** Runs a controller over the keys until `calls` reconciles were made, and returns the keys in order. */
async function reconciled(name: string, keys: readonly string[], calls: number, reconcile: Reconcile): Promise<string[]> {
  const queue = new WorkQueue(name, { minMs: 1, maxMs: 2 });
  const stop = new AbortController();
  const seen: string[] = [];
  const running = runController({ name, queue, workers: 2, caches: [synced], log, reconcile: (key, context) => {
    seen.push(key);
    return reconcile(key, context);
  } }, stop.signal);
  for (const key of keys) queue.add(key);
  const deadline = Date.now() + 2000;
  while (seen.length < calls && Date.now() < deadline) await sleep(5);
  await sleep(20);
  stop.abort();
  await running;
  return seen;
}

async function count(controller: string, result: string): Promise<number | undefined> {
  const { values } = await reconcileTotal.get();
  return values.find(({ labels }) => labels['controller'] === controller && labels['result'] === result)?.value;
}

test('tries a key again after an error, and says so', async () => {
  let calls = 0;
  const seen = await reconciled('errors', ['a'], 3, () => (++calls < 3 ? Promise.reject(new Error('no')) : Promise.resolve({})));
  assert.deepEqual(seen, ['a', 'a', 'a']);
  assert.deepEqual([await count('errors', 'error'), await count('errors', 'success')], [2, 1]);
});

test('does not try again after a terminal error', async () => {
  assert.deepEqual(await reconciled('terminal', ['a'], 1, () => Promise.reject(new TerminalError('never'))), ['a']);
});

test('looks again after the time a reconcile asks for', async () => {
  let calls = 0;
  const seen = await reconciled('requeue', ['a'], 2, () => Promise.resolve(++calls === 1 ? { requeueAfterMs: 10 } : {}));
  assert.deepEqual(seen, ['a', 'a']);
  assert.equal(await count('requeue', 'requeue_after'), 1);
});

test('takes a lost race for no error', async () => {
  let calls = 0;
  lines.length = 0;
  await reconciled('race', ['a'], 2, () => (++calls === 1 ? Promise.reject(new ApiError(409, { reason: 'Conflict' }, 'PATCH /x')) : Promise.resolve({})));
  assert.deepEqual([calls, lines, await count('race', 'error')], [2, [], 0]);
});

test('outlives a reconcile that throws something that is no error, and works on other keys', async () => {
  // eslint-disable-next-line @typescript-eslint/only-throw-error -- the point of the test
  const seen = await reconciled('panic', ['bad', 'good'], 2, (key) => { if (key === 'bad') throw 'a string'; return Promise.resolve({}); });
  assert.ok(seen.includes('good'));
});

test('starts nothing and says what is missing when a cache never fills', async () => {
  const caches = [synced, { hasSynced: false, resource: { plural: 'widgets' } }];
  const reconcile: Reconcile = () => assert.fail('reconciled without caches');
  const queue = new WorkQueue('unsynced');
  queue.add('a');
  await assert.rejects(runController({ name: 'unsynced', queue, workers: 1, caches, log, reconcile, syncTimeoutMs: 30 }, new AbortController().signal), /no full list within 30 ms of: widgets/);
});

test('finishes the key in hand before it stops', async () => {
  let finished = false;
  const queue = new WorkQueue('graceful');
  const stop = new AbortController();
  const running = runController({ name: 'graceful', queue, workers: 1, caches: [], log, reconcile: async () => {
    stop.abort();
    await sleep(30);
    finished = true;
    return {};
  } }, stop.signal);
  queue.add('a');
  await running;
  assert.ok(finished);
});
