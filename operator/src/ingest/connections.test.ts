import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { Connections } from './connections.ts';
import { LIMITS } from './limits.ts';
import type { Limits } from './limits.ts';
import { ingestMetrics } from './metrics.ts';
import { timerWheel } from './wheel.ts';

interface Door {
  readonly connections: Connections;
  /** Connects from an address of this machine, says nothing, and tells whether the server has ended it. */
  readonly come: (localAddress?: string) => { readonly socket: Socket; readonly hasEnded: () => boolean };
}

async function door(test: TestContext, limits: Partial<Limits>): Promise<Door> {
  const wheel = timerWheel();
  const connections = new Connections({ limits: { ...LIMITS, ...limits }, metrics: ingestMetrics(new Registry()), wheel, serve: (socket) => socket.resume() });
  const port = await connections.listen('127.0.0.1', 0);
  const sockets: Socket[] = [];
  test.after(() => {
    for (const socket of sockets) socket.destroy();
    connections.stop();
    connections.destroy();
    wheel.close();
  });
  const come: Door['come'] = (localAddress = '127.0.0.1') => {
    const socket = connect({ host: '127.0.0.1', port, localAddress });
    let hasEnded = false;
    socket.on('error', () => undefined);
    socket.on('close', () => (hasEnded = true));
    socket.resume();
    sockets.push(socket);
    return { socket, hasEnded: () => hasEnded };
  };
  return { connections, come };
}

const peerOf = (socket: Socket): string => `127.0.0.1:${socket.localPort ?? 0}`;

/** How many of so many that come one after another are let in. */
async function letIn({ come }: Door, count: number, address?: string): Promise<{ socket: Socket; hasEnded: () => boolean }[]> {
  const came = [];
  for (let i = 0; i < count; i++) {
    came.push(come(address));
    await sleep(20);
  }
  await sleep(50);
  return came.filter(({ hasEnded }) => !hasEnded());
}

const somaxconn = Number(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'));

test('all of a crowd that comes at once and says nothing are ended', { timeout: 60_000, skip: somaxconn < 2000 && `net.core.somaxconn is ${somaxconn}` }, async (test) => {
  const { come } = await door(test, { unprovenPerAddress: 100, unprovenMs: 500 });
  const crowd = Array.from({ length: 2000 }, () => come());
  const left = (): number => crowd.filter(({ hasEnded }) => !hasEnded()).length;
  const deadline = Date.now() + 15_000;
  while (left() > 0 && Date.now() < deadline) await sleep(50);
  assert.equal(left(), 0, `of 2000, ${left()} still believe to be connected after 15 s`);
});

test('who has not proved to be a trainer has so many connections of an address, so many in all, for so long', { timeout: 60_000 }, async (test) => {
  const at = await door(test, { unprovenConnections: 5, unprovenPerAddress: 3, unprovenMs: 1500 });
  const [ofOne, ofOther] = [await letIn(at, 6), await letIn(at, 6, '127.0.0.2')];
  assert.deepEqual([ofOne.length, ofOther.length], [3, 2]);
  await sleep(1700);
  assert.ok([...ofOne, ...ofOther].every(({ hasEnded }) => hasEnded()));
  assert.equal((await letIn(at, 6)).length, 3, 'their places are free again');
});

test('who has proved it takes no place among the others, and stays', { timeout: 60_000 }, async (test) => {
  const at = await door(test, { unprovenPerAddress: 2, unprovenMs: 1000 });
  const [first, second] = await letIn(at, 3);
  assert.ok(first !== undefined && second !== undefined);
  at.connections.prove(peerOf(first.socket));
  assert.equal((await letIn(at, 3)).length, 1);
  await sleep(1200);
  assert.deepEqual([first.hasEnded(), second.hasEnded()], [false, true]);
});

test('there are no more connections in all than allowed, proved or not', { timeout: 60_000 }, async (test) => {
  const at = await door(test, { connections: 4 });
  for (const { socket } of await letIn(at, 3)) at.connections.prove(peerOf(socket));
  assert.equal((await letIn(at, 3)).length, 1);
});
