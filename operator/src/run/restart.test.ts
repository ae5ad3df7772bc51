import assert from 'node:assert/strict';
import { test } from 'node:test';
import { childName } from './naming.ts';
import { delaySeconds } from './restart.ts';

test('restarts at once the first time, then after 10 seconds doubling to five minutes', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 6, 7, 1000].map(delaySeconds), [0, 10, 20, 40, 80, 160, 300, 300, 300]);
});

test('leaves room for the worker index in a host name, and tells cut names apart by UID', () => {
  const run = (name: string, uid: string): Parameters<typeof childName>[0] => ({ kind: 'PolarPretrain', metadata: { name, uid } });
  assert.equal(childName(run('demo', 'u'), 2), 'demo-pretrain-2');
  const [first, second] = ['11111111-a', '22222222-b'].map((uid) => childName(run('x'.repeat(63), uid), 1000));
  assert.notEqual(first, second);
  for (const name of [first, second]) assert.match(`${name ?? ''}-4095`, /^[a-z][-a-z0-9]{0,61}[a-z0-9]$/);
});
