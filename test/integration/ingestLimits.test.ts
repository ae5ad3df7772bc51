// What strangers and runaway trainers can do to ingest: little. Raw sockets and raw HTTP/2 where a gRPC client would be too polite.
import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { connect as connectTcp } from 'node:net';
import type { Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { TOKEN_AUDIENCE } from '../../operator/src/api/labels.ts';
import { Trainer, aReplica, closeTrainers, eventually, point, report, setUp } from './ingestWorld.ts';
import type { Replica, SetUp, World } from './ingestWorld.ts';

let set: SetUp;
let world: World;

before(async () => {
  set = await setUp();
  world = set.world;
});

after(async () => {
  closeTrainers();
  await set.tearDown();
});

const REPORT = { ':method': 'POST', ':path': '/polar.telemetry.v1alpha1.Telemetry/Report', 'content-type': 'application/grpc', te: 'trailers' };
const sessions = new Set<ClientHttp2Session>();

/** An HTTP/2 connection from another address of this machine. */
function session(ingest: Replica, localAddress = '127.0.0.2'): ClientHttp2Session {
  const at = { host: '127.0.0.1', port: ingest.port, localAddress };
  const made = connectHttp2(`https://localhost:${ingest.port}`, {
    createConnection: () => connectTls({ ...at, servername: 'localhost', ca: ingest.caPem, ALPNProtocols: ['h2'] }),
  });
  made.on('error', () => undefined);
  sessions.add(made);
  return made;
}

/** Ends what failed tests left open, and the replica. */
async function end(ingest: Replica): Promise<void> {
  for (const one of sessions) one.destroy();
  sessions.clear();
  await ingest.close();
}

/** The gRPC status of a call, "reset" or "closed". */
function statusOf(stream: ClientHttp2Stream): Promise<string> {
  return new Promise((resolve) => {
    const told = (headers: IncomingHttpHeaders): void => {
      if (headers['grpc-status'] !== undefined) resolve(String(headers['grpc-status']));
    };
    stream.on('response', told);
    stream.on('trailers', told);
    stream.on('error', () => resolve('reset'));
    stream.on('close', () => resolve('closed'));
    stream.resume();
  });
}

const invented = (podUid: string): string => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { aud: [TOKEN_AUDIENCE], exp: Math.floor(Date.now() / 1000) + 600, sub: 'system:serviceaccount:x:default', 'kubernetes.io': { namespace: 'x', pod: { name: 'p', uid: podUid } } };
  return `${part({ alg: 'RS256' })}.${part(claims)}.${Buffer.from(podUid).toString('base64url')}`;
};

/** How long a trainer that is new waits for its first acknowledgement. */
async function firstAckMs(ingest: Replica, name: string): Promise<number> {
  const { run, token } = await world.training(name);
  const at = performance.now();
  const trainer = new Trainer(ingest, `Bearer ${token}`);
  trainer.send(report(run, 1));
  await trainer.untilAcked(1);
  const ms = performance.now() - at;
  await trainer.finish();
  return ms;
}

describe('tokens', () => {
  test('that are nonsense cost the API server nothing, and that look good cost little, whoever they claim to be of', async () => {
    const ingest = await aReplica(set.operator);
    const { pod } = await world.training('claimed');
    const attack = async (token: (i: number) => string, count: number): Promise<string[]> => {
      const all: Promise<string>[] = [];
      for (let i = 0; i < count; i++) {
        const from = session(ingest);
        all.push(statusOf(from.request({ ...REPORT, authorization: `Bearer ${token(i)}` })).finally(() => from.destroy()));
      }
      return Promise.all(all);
    };
    assert.ok((await attack((i) => `nonsense${i}`, 100)).every((code) => code === '16' || code === 'reset' || code === 'closed'));
    assert.equal(await ingest.metric('polar_ingest_token_reviews_total', { result: 'refused' }), 0);
    const running = [attack((i) => invented(`unknown-${i}`), 150), attack((i) => invented(pod.metadata.uid) + i, 150)];
    assert.ok(await firstAckMs(ingest, 'among-invented') < 10_000);
    const codes = (await Promise.all(running)).flat();
    assert.ok(codes.every((code) => code !== '0'), codes.join());
    const reviews = await ingest.metric('polar_ingest_token_reviews_total', { result: 'refused' });
    assert.ok(reviews < 250, `${reviews} of 300 invented tokens were reviewed`);
    await end(ingest);
  });
});

describe('connections', () => {
  test('that never become a trainer are few per address and end soon, while trainers come and stay', async () => {
    const ingest = await aReplica(set.operator, { limits: { unprovenPerAddress: 100, unprovenMs: 3000 } });
    const { run, token } = await world.training('early-bird');
    const early = new Trainer(ingest, `Bearer ${token}`);
    await early.untilAcked(0);
    const sockets: Socket[] = [];
    let closed = 0;
    for (let i = 0; i < 2000; i++) {
      const socket = connectTcp({ host: '127.0.0.1', port: ingest.port, localAddress: '127.0.0.3' });
      socket.on('error', () => undefined);
      socket.resume();
      socket.on('close', () => (closed += 1));
      sockets.push(socket);
      if (i % 100 === 99) await sleep(5);
    }
    await eventually('all but a hundred are refused', () => closed >= 1900);
    assert.ok(await ingest.metric('polar_ingest_connections') <= 102);
    assert.ok(await firstAckMs(ingest, 'among-idle') < 5000);
    await eventually('the others end', () => closed === 2000);
    early.send(report(run, 1));
    await early.untilAcked(1);
    await early.finish();
    await eventually('no connection is counted', async () => (await ingest.metric('polar_ingest_connections')) <= 1);
    await end(ingest);
  });

  test('of a trainer that opens stream after stream hold two of them', async () => {
    const ingest = await aReplica(set.operator);
    const { token } = await world.training('greedy');
    const from = session(ingest);
    const codes: Promise<string>[] = [];
    let most = 0;
    for (let i = 0; i < 500; i++) {
      codes.push(statusOf(from.request({ ...REPORT, authorization: `Bearer ${token}` })));
      if (i % 20 === 19) await sleep(10);
      most = Math.max(most, await ingest.metric('polar_ingest_streams'));
    }
    assert.ok(most <= 2, `${most} streams`);
    from.destroy();
    await Promise.all(codes);
    await eventually('no stream is counted', async () => (await ingest.metric('polar_ingest_streams')) === 0);
    await end(ingest);
  });

  test('with more metadata than 64 KiB or than 128 fields are refused', async () => {
    const ingest = await aReplica(set.operator);
    const long = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`x-${i}`, 'a'.repeat(10_000)]));
    const many = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`x-${i}`, 'a']));
    for (const headers of [long, many]) assert.notEqual(await statusOf(session(ingest).request({ ...REPORT, ...headers })), '0');
    assert.ok(await firstAckMs(ingest, 'among-headers') < 5000);
    await end(ingest);
  });
});

describe('a trainer', () => {
  test('that reports too fast is read more slowly, and another is not', async () => {
    const ingest = await aReplica(set.operator, { limits: { messagesPerSecond: 20, messageBurst: 10 } });
    const { run, token } = await world.training('hasty');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    await trainer.untilAcked(0);
    const at = performance.now();
    for (let seq = 1; seq <= 70; seq++) trainer.send(report(run, seq));
    assert.ok(await firstAckMs(ingest, 'beside-hasty') < 2500);
    await trainer.untilAcked(70);
    assert.ok(performance.now() - at > 2500, `70 reports in ${performance.now() - at} ms at 20 a second and 10 at once`);
    await trainer.finish();
    await end(ingest);
  });

  test('is not read while the API server keeps nothing and the memory for it is full, and nothing is lost', async () => {
    const ingest = await aReplica(set.operator, { limits: { messagesPerSecond: 1e6, messageBurst: 1e6, bytesPerSecond: 1e9, byteBurst: 1e9, pendingBytesPerRun: 100_000 } });
    const { run, token } = await world.training('piling');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    trainer.send(report(run, 1));
    await trainer.untilAcked(1);
    set.cluster.signal('kube-apiserver', 'SIGSTOP');
    for (let seq = 2; seq <= 400; seq++) trainer.send(report(run, seq, { points: Array.from({ length: 500 }, (_, i) => point(seq * 500 + i)) }));
    await sleep(3000);
    const pending = await ingest.metric('polar_ingest_pending_bytes');
    const acked = trainer.acked;
    set.cluster.signal('kube-apiserver', 'SIGCONT');
    assert.equal(acked, 1);
    assert.ok(pending > 50_000 && pending < 200_000, `${pending} bytes are pending`);
    await trainer.untilAcked(400);
    assert.equal((await world.read('piling')).status?.curve?.at(-1)?.step, 400 * 500 + 499);
    await trainer.finish();
    await end(ingest);
  });

  test('that reports a million points leaves an object of less than 64 KiB', async (test) => {
    const ingest = await aReplica(set.operator, { limits: { messagesPerSecond: 1e6, messageBurst: 1e6, bytesPerSecond: 1e9, byteBurst: 1e9 } });
    const { run, token } = await world.training('million');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    const at = performance.now();
    for (let seq = 1; seq <= 1000; seq++) {
      const points = Array.from({ length: 1000 }, (_, i) => ({ step: BigInt(seq * 1000 + i), tokens: BigInt(seq * 1000 + i) * 4_194_304n, trainLoss: 0.3 + Math.random(), valLoss: i === 0 ? Math.random() : undefined, valAccuracy: i === 0 ? Math.random() : undefined }));
      trainer.send(report(run, seq, { points }));
      if (seq % 100 === 0) await trainer.untilAcked(seq - 50);
    }
    await trainer.untilAcked(1000);
    const stored = await world.read('million');
    const bytes = Buffer.byteLength(JSON.stringify(stored));
    assert.ok(bytes < 65_536, `${bytes} bytes`);
    const { curve = [] } = stored.status ?? {};
    assert.ok(curve.length > 150 && curve.length <= 200, `${curve.length} points`);
    assert.equal(curve.at(-1)?.step, 1000 * 1000 + 999);
    test.diagnostic(`a million points in ${((performance.now() - at) / 1000).toFixed(1)} s, object of ${bytes} bytes with ${curve.length} points`);
    await trainer.finish();
    await end(ingest);
  });
});
