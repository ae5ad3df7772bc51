import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient } from './client.ts';
import { Fence, FencedError, fencedClient } from './fence.ts';

interface Hands { monotonic: number; wall: number }

function fenceAt(hands: Hands, lifeMs = 10_000): Fence {
  return new Fence(lifeMs, { ...hands }, { monotonic: () => hands.monotonic, wall: () => hands.wall });
}

test('closes at the deadline of whoever asks, without waiting for a timer', () => {
  const hands = { monotonic: 0, wall: 0 };
  const fence = fenceAt(hands);
  hands.monotonic = 9999;
  assert.ok(fence.isOpen);
  hands.monotonic = 10_000;
  assert.throws(() => fence.check(), FencedError);
  assert.ok(fence.signal.aborted);
});

test('lives from when a renewal was sent, and stays closed once it was', () => {
  const hands = { monotonic: 0, wall: 0 };
  const fence = fenceAt(hands);
  fence.renew({ monotonic: 5000, wall: 5000 });
  hands.monotonic = 14_000;
  assert.equal(fence.leftMs, 1000);
  hands.monotonic = 15_000;
  assert.equal(fence.isOpen, false);
  fence.renew({ monotonic: 15_000, wall: 15_000 });
  assert.equal(fence.isOpen, false);
});

test('closes when the machine was suspended, and not when the wall clock is set back', () => {
  const suspended = { monotonic: 0, wall: 0 };
  const fence = fenceAt(suspended);
  Object.assign(suspended, { monotonic: 10, wall: 60_000 });
  assert.equal(fence.isOpen, false);
  const setBack = { monotonic: 0, wall: 0 };
  const other = fenceAt(setBack);
  Object.assign(setBack, { monotonic: 9000, wall: -3_600_000 });
  assert.equal(other.leftMs, 1000);
});

test('stays safe when its clock runs at two thirds of the others\' speed', () => {
  const hands = { monotonic: 0, wall: 0 };
  const fence = fenceAt(hands);
  // A waiter's 15 s are this leader's 10 s.
  Object.assign(hands, { monotonic: 15_000 / 1.5, wall: 15_000 / 1.5 });
  assert.equal(fence.isOpen, false);
});

test('lets reads pass and refuses writes after it closed, also those that were asked for before', async () => {
  const sent: string[] = [];
  let beforeSend: (() => void) | undefined;
  const client = {
    request: (method: string, path: string, options: { beforeSend?: () => void } = {}) => {
      sent.push(`${method} ${path}`);
      beforeSend = options.beforeSend;
      return Promise.resolve({});
    },
  } as unknown as KubeClient;
  const hands = { monotonic: 0, wall: 0 };
  const fenced = fencedClient(client, fenceAt(hands));
  await fenced.request('POST', '/a');
  hands.monotonic = 10_000;
  assert.throws(() => beforeSend?.(), FencedError, 'a request that got its connection too late');
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE'] as const) await assert.rejects(fenced.request(method, '/b'), FencedError);
  await fenced.request('GET', '/c');
  assert.deepEqual(sent, ['POST /a', 'GET /c']);
});
