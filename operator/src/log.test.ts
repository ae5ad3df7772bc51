import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from './log.ts';
import { runController } from './runtime/controller.ts';
import { WorkQueue } from './runtime/queue.ts';

function logged(): { readonly lines: string[]; readonly log: ReturnType<typeof createLog> } {
  const lines: string[] = [];
  return { lines, log: createLog('debug', { write: (line) => void lines.push(line) }) };
}

test('writes one line however a value looks', () => {
  const { lines, log } = logged();
  const hostile = 'fine"}\n{"level":"error","msg":"forged"}\r\u001b[2J\u001b[31mred\u0000\u2028';
  log.info({ message: hostile, err: new Error(hostile), [hostile]: 1 }, 'trainer said');
  assert.equal(lines.length, 1);
  const [line = ''] = lines;
  assert.match(line, /^[^\u0000-\u001f]+\n$/);
  const parsed = JSON.parse(line) as Record<string, unknown>;
  assert.deepEqual([parsed['level'], parsed['msg'], parsed['message']], ['info', 'trainer said', hostile]);
});

test('says in every line of a reconcile which controller, run, attempt and pass it belongs to', async () => {
  const { lines, log } = logged();
  const queue = new WorkQueue('fields');
  const stop = new AbortController();
  const caches = [{ hasSynced: true, resource: { plural: 'runs' } }];
  let passes = 0;
  queue.add('team/demo');
  await runController({
    name: 'polarpretrain', queue, caches, log, workers: 1, fieldsOf: () => ({ uid: 'u-1', attempt: 3 }),
    reconcile: (_key, context) => {
      context.log.info({ step: 1 }, 'acting');
      passes += 1;
      if (passes === 2) stop.abort();
      return passes === 1 ? Promise.reject(new Error('no such thing')) : Promise.resolve({});
    },
  }, stop.signal);
  const own = lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter(({ msg }) => msg === 'acting' || msg === 'reconcile failed');
  assert.equal(own.length, 3);
  for (const line of own) assert.deepEqual([line['controller'], line['namespace'], line['name'], line['uid'], line['attempt']], ['polarpretrain', 'team', 'demo', 'u-1', 3]);
  assert.equal(own[0]?.['reconcileId'], own[1]?.['reconcileId']);
  assert.notEqual(own[0]?.['reconcileId'], own[2]?.['reconcileId']);
});
