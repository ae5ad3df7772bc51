// The faults a healthy API server does not show on request, from an HTTP server that does.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { ApiError } from './apiError.ts';
import { clientFor } from './client.ts';
import type { KubeClient } from './client.ts';
import type { Log } from './log.ts';
import type { KubeObject, Resource } from './object.ts';
import { Reflector } from './reflector.ts';

const quiet = (): undefined => undefined;
const log: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet, child: () => log };
const THINGS: Resource = { apiVersion: 'test/v1', kind: 'Thing', plural: 'things', namespaced: true };
const timing = { minBackoffMs: 5, maxBackoffMs: 20, silenceMs: 200 };

type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => void;

async function clientOf(t: TestContext, handler: Handler): Promise<KubeClient> {
  const server = createServer((request, response) => handler(request, response, new URL(request.url ?? '', 'http://x')));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const config = new KubeConfig();
  // client-node takes plain HTTP for a mistake unless told not to verify.
  config.loadFromClusterAndUser({ name: 'c', server: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, skipTLSVerify: true }, { name: 'u' });
  const client = await clientFor(config);
  t.after(() => client.close());
  return client;
}

const thing = (name: string, version: number, uid = name): KubeObject => ({ apiVersion: 'test/v1', kind: 'Thing', metadata: { name, namespace: 'n', uid, resourceVersion: String(version) } });
const line = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`;
const listOf = (items: readonly KubeObject[], version: number, next?: string): string => JSON.stringify({ metadata: { resourceVersion: String(version), continue: next }, items });

/** Serves lists and watches from two scripts, one entry per call; the last entry repeats. */
function scripted(lists: readonly Handler[], watches: readonly Handler[], calls: string[] = []): Handler {
  let [lists_, watches_] = [0, 0];
  return (request, response, url) => {
    calls.push(url.searchParams.has('watch') ? `watch ${url.searchParams.get('resourceVersion') ?? ''}` : `list ${url.searchParams.get('limit') ?? ''}`);
    const handler = url.searchParams.has('watch') ? watches[Math.min(watches_++, watches.length - 1)] : lists[Math.min(lists_++, lists.length - 1)];
    handler?.(request, response, url);
  };
}

const answers = (body: string, status = 200): Handler => (_request, response) => void response.writeHead(status).end(body);
const streams = (...lines: readonly string[]): Handler => (_request, response) => void response.writeHead(200).write(lines.join('') || '\n');

async function reflected(t: TestContext, handler: Handler): Promise<{ reflector: Reflector<KubeObject>; keys: string[] }> {
  const client = await clientOf(t, handler);
  const reflector = new Reflector<KubeObject>({ client, resource: THINGS, log, timing });
  const keys: string[] = [];
  reflector.subscribe((object) => [`${object.metadata.name}/${object.metadata.uid ?? ''}`], (key) => keys.push(key));
  const stop = new AbortController();
  const running = reflector.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  return { reflector, keys };
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!holds()) {
    assert.ok(Date.now() < deadline, what);
    await sleep(5);
  }
}

const names = (reflector: Reflector<KubeObject>): string[] => reflector.store.list().map((one) => one.metadata.name);

test('lists, watches from there and follows events', async (t) => {
  const calls: string[] = [];
  const { reflector, keys } = await reflected(t, scripted([answers(listOf([thing('a', 1), thing('b', 2)], 5))], [streams(line('ADDED', thing('c', 6)), line('DELETED', thing('a', 7)), line('BOOKMARK', { metadata: { resourceVersion: '9' } }))], calls));
  await until(() => names(reflector).join() === 'b,c', 'followed');
  assert.deepEqual(keys, ['a/a', 'b/b', 'c/c', 'a/a']);
  assert.deepEqual(calls, ['list ', 'watch 5']);
  assert.ok(reflector.hasSynced && Date.now() - reflector.lastSyncAt < 5000);
});

test('goes on after failed lists', async (t) => {
  const { reflector } = await reflected(t, scripted([answers('no', 500), answers('{', 200), (request) => request.socket.destroy(), answers(listOf([thing('a', 1)], 1))], [streams()]));
  await until(() => reflector.hasSynced, 'synced');
});

test('lists anew when its version has expired, and notices a namesake', async (t) => {
  const calls: string[] = [];
  const gone = line('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' });
  const { reflector, keys } = await reflected(t, scripted([answers(listOf([thing('a', 1, 'old')], 1)), answers(listOf([thing('a', 8, 'new')], 8))], [streams(gone), streams()], calls));
  await until(() => reflector.store.byUid('new') !== undefined, 'relisted');
  assert.deepEqual(keys, ['a/old', 'a/old', 'a/new']);
  assert.deepEqual(calls.slice(0, 3), ['list ', 'watch 1', 'list ']);
});

test('keeps what it had while a new list comes, and takes the new list as a whole', async (t) => {
  const held: (() => void)[] = [];
  const ends: Handler = (_request, response) => void response.writeHead(200).end(line('ERROR', { kind: 'Status', code: 500, message: 'x' }));
  const whole = listOf([thing('b', 5), thing('c', 5)], 5);
  const halves: Handler = (_request, response) => {
    response.writeHead(200).write(whole.slice(0, whole.indexOf('"c"')));
    held.push(() => response.end(whole.slice(whole.indexOf('"c"'))));
  };
  const { reflector } = await reflected(t, scripted([answers(listOf([thing('a', 1), thing('b', 1)], 1)), halves], [ends, streams()]));
  await until(() => held.length > 0, 'asked for the list');
  await sleep(20);
  assert.deepEqual(names(reflector), ['a', 'b']);
  held.forEach((end) => end());
  await until(() => names(reflector).join() === 'b,c', 'relisted');
});

test('lists in pages when a whole list breaks off', async (t) => {
  const calls: string[] = [];
  const cut: Handler = (request, response) => void response.writeHead(200).write(listOf([thing('z', 1)], 1).slice(0, -5), () => request.socket.destroy());
  const pages = [answers(listOf([thing('a', 1)], 5, 'next')), answers(listOf([thing('b', 2)], 5))];
  const { reflector } = await reflected(t, scripted([cut, ...pages], [streams()], calls));
  await until(() => names(reflector).join() === 'a,b' && calls.length > 3, 'listed');
  assert.deepEqual(calls.slice(0, 4), ['list ', 'list 500', 'list 500', 'watch 5']);
});

test('lists as a whole again when the version expires between two pages', async (t) => {
  const calls: string[] = [];
  const cut: Handler = (request, response) => void response.writeHead(200).write('{"items":[', () => request.socket.destroy());
  const expired = answers(JSON.stringify({ kind: 'Status', code: 410, reason: 'Expired', message: 'the provided continue parameter is too old' }), 410);
  const { reflector } = await reflected(t, scripted([cut, answers(listOf([thing('a', 1)], 1, 'next')), expired, answers(listOf([thing('b', 9)], 9))], [streams()], calls));
  await until(() => names(reflector).join() === 'b' && calls.length > 4, 'listed');
  assert.deepEqual(calls.slice(0, 5), ['list ', 'list 500', 'list 500', 'list ', 'watch 9']);
});

test('gives up on a list that stops coming', async (t) => {
  const client = await clientOf(t, (_request, response) => void response.writeHead(200).write('{"items":[{"a":1},'));
  await assert.rejects(client.request('GET', '/slow', { timeoutMs: 300, items: { unread: [], take: quiet } }), /GET \/slow: the list broke off/);
});

test('outlives malformed events, events without a version and handlers that throw', async (t) => {
  const bad = [streams('{"type":"ADD\n'), streams(line('ADDED', { metadata: {} })), streams(line('ADDED', null)), streams(line('ADDED', thing('b', 3)))];
  const client = await clientOf(t, scripted([answers(listOf([thing('a', 1)], 1))], bad));
  const reflector = new Reflector<KubeObject>({ client, resource: THINGS, log, timing });
  reflector.subscribe(() => assert.fail('handler'), quiet);
  const stop = new AbortController();
  const running = reflector.run(stop.signal);
  await until(() => names(reflector).join() === 'a,b', 'reached the good event');
  stop.abort();
  await running;
});

test('notices a connection that is open but silent', async (t) => {
  const { reflector } = await reflected(t, scripted([answers(listOf([], 1)), answers(listOf([thing('missed', 2)], 2))], [streams()]));
  await until(() => names(reflector).join() === 'missed', 'listed again after silence');
});

test('watches on from the last bookmark when the server ends a watch in good order', async (t) => {
  const calls: string[] = [];
  const ends: Handler = (_request, response) => void response.writeHead(200).end(line('BOOKMARK', { metadata: { resourceVersion: '7' } }));
  await reflected(t, scripted([answers(listOf([], 1))], [ends, streams()], calls));
  await until(() => calls.length >= 3, 'watched again');
  assert.deepEqual(calls.slice(0, 3), ['list ', 'watch 1', 'watch 7']);
});

test('asks a server that refuses every watch ever less often', async (t) => {
  const calls: string[] = [];
  await reflected(t, scripted([answers(listOf([], 1))], [answers('{}', 403)], calls));
  await sleep(300);
  assert.ok(calls.length > 4 && calls.length < 80, `${calls.length} calls in 300 ms with a back-off between 5 and 20 ms`);
});

test('waits as long as a busy server asks and then succeeds', async (t) => {
  let calls = 0;
  const client = await clientOf(t, (_request, response) => {
    calls += 1;
    if (calls < 3) response.writeHead(429, { 'retry-after': '0' }).end('{}');
    else response.writeHead(200).end('{"ok":true}');
  });
  assert.deepEqual(await client.request('GET', '/x'), { ok: true });
  assert.equal(calls, 3);
});

test('tells what was refused, by whom and why', async (t) => {
  const body = { kind: 'Status', code: 422, reason: 'Invalid', message: 'spec.budget: exactly one of steps and tokens' };
  const client = await clientOf(t, answers(JSON.stringify(body), 422));
  await assert.rejects(client.request('POST', '/apis/x'), (error: unknown) => error instanceof ApiError && error.status === 422 && error.reason === 'Invalid' && error.message.includes('POST /apis/x: 422 Invalid: spec.budget'));
});

test('gives up on a request without an answer when its time is over, naming the request', async (t) => {
  const client = await clientOf(t, () => undefined);
  await assert.rejects(client.request('GET', '/slow', { timeoutMs: 50 }), /GET \/slow: no answer from 127\.0\.0\.1:\d+/);
});

test('reads a character cut between two chunks', async (t) => {
  const bytes = Buffer.from(line('ADDED', { metadata: { name: 'ü', namespace: 'n', uid: 'u', resourceVersion: '2' } }));
  const cut = bytes.indexOf(0xc3) + 1;
  const { reflector } = await reflected(t, scripted([answers(listOf([], 1))], [(_request, response) => {
    response.writeHead(200).write(bytes.subarray(0, cut));
    setTimeout(() => response.write(bytes.subarray(cut)), 20);
  }]));
  await until(() => names(reflector).join() === 'ü', 'read');
});
