import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient } from './client.ts';
import { eventRecorder } from './events.ts';
import type { EventNote } from './events.ts';
import type { Log } from './log.ts';

const quiet = (): undefined => undefined;
const silent: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet, child: () => silent };
const about = (uid: string) => ({ apiVersion: 'v1', kind: 'Thing', metadata: { name: uid, namespace: 'n', uid } });
const notes = (count: number): EventNote[] => Array.from({ length: count }, (_, index) => ({ type: 'Warning', reason: 'Noisy', message: `m${index}` }));
const clientOf = (request: () => Promise<unknown>): KubeClient => ({ request } as unknown as KubeClient);

test('lets 25 events of an object through at once, and one more in five minutes', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_700_000_000_000 });
  let sent = 0;
  const recorder = eventRecorder(clientOf(() => Promise.resolve((sent += 1))), 'polar-operator', silent);
  await recorder.record(about('a'), notes(40));
  assert.equal(sent, 25);
  await recorder.record(about('b'), notes(1));
  assert.equal(sent, 26, 'another object has its own');
  t.mock.timers.tick(299_999);
  await recorder.record(about('a'), notes(1));
  assert.equal(sent, 26);
  t.mock.timers.tick(1);
  await recorder.record(about('a'), notes(2));
  assert.equal(sent, 27);
});

test('does not hold up a reconcile when the API server takes no events, and keeps a bounded number of them', async () => {
  let asked = 0;
  const hanging = eventRecorder(clientOf(() => new Promise(() => (asked += 1))), 'polar-operator', silent);
  const from = performance.now();
  await Promise.all(Array.from({ length: 500 }, (_, index) => hanging.record(about(`o${index}`), notes(1))));
  assert.ok(performance.now() - from < 5000);
  assert.equal(asked, 100);
  await eventRecorder(clientOf(() => Promise.reject(new Error('refused'))), 'polar-operator', silent).record(about('a'), notes(3));
});
