// What strangers can do to ingest: little. Raw sockets and raw HTTP/2 where a gRPC client would be too polite.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SERVER_OPTIONS } from '../../operator/src/ingest/server.ts';
import { REPORT, invented, session, statusOf } from './ingestRaw.ts';
import { TIMELY, eventually, within } from './ingestWait.ts';
import { Trainer, aReplica, firstAckMs, report, setUp } from './ingestWorld.ts';
import type { Replica, SetUp, World } from './ingestWorld.ts';

let set: SetUp;
let world: World;

before(async () => {
  set = await setUp();
  world = set.world;
}, TIMELY);

after(() => set.tearDown(), TIMELY);

/** The gRPC status of one call over a connection of its own. */
async function callOnce(ingest: Replica, token: string, address?: string): Promise<string> {
  const from = session(ingest, address);
  return statusOf(from.request({ ...REPORT, authorization: `Bearer ${token}` })).finally(() => from.destroy());
}

/** The server's own options of these names with so many times less time. */
function hurried(times: number, ...names: readonly (keyof typeof SERVER_OPTIONS)[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => {
    const ms: unknown = SERVER_OPTIONS[name];
    assert.ok(typeof ms === 'number', `the server has no ${name}`);
    return [name, ms / times];
  }));
}

describe('tokens', () => {
  test('that are nonsense cost the API server nothing, and that look good cost little, whoever they claim to be of', TIMELY, async () => {
    const ingest = await aReplica(set.operator);
    const { pod } = await world.training('claimed');
    const attack = (token: (i: number) => string, count: number): Promise<string[]> => Promise.all(Array.from({ length: count }, (_, i) => callOnce(ingest, token(i))));
    assert.ok((await attack((i) => `nonsense${i}`, 100)).every((code) => code === '16' || code === 'reset' || code === 'closed'));
    assert.equal(await ingest.metric('polar_ingest_token_reviews_total', { result: 'refused' }), 0);
    const running = [attack((i) => invented(`unknown-${i}`), 150), attack((i) => invented(pod.metadata.uid, String(i)), 150)];
    assert.ok(await firstAckMs(world, ingest, 'among-invented') < 10_000);
    const codes = (await Promise.all(running)).flat();
    assert.ok(codes.every((code) => code !== '0' && code !== 'served'), codes.join());
    const reviews = await ingest.metric('polar_ingest_token_reviews_total', { result: 'refused' });
    assert.ok(reviews < 250, `${reviews} of 300 invented tokens were reviewed`);
    await ingest.close();
  });

  test('of an address that sent bad ones count among those of strangers, then only those of known pods are looked at', TIMELY, async () => {
    const ingest = await aReplica(set.operator, { limits: { suspectAfter: 3, blockedAfter: 5 } });
    const { pod } = await world.training('suspected');
    const codes: string[] = [];
    for (let i = 0; i < 8; i++) codes.push(await callOnce(ingest, invented(`suspect-${i}`)));
    assert.deepEqual(codes, ['16', '16', '16', '16', '16', '14', '14', '14']);
    assert.equal(await callOnce(ingest, invented(pod.metadata.uid, 'blocked')), '16');
    assert.equal(await callOnce(ingest, invented('elsewhere'), '127.0.0.4'), '16', 'another address is not blamed');
    await ingest.close();
    const noneForStrangers = await aReplica(set.operator, { limits: { suspectAfter: 3, unknownReviews: { atOnce: 0, waiting: 0 } } });
    const later: string[] = [];
    for (let i = 0; i < 5; i++) later.push(await callOnce(noneForStrangers, invented(pod.metadata.uid, `late-${i}`)));
    assert.deepEqual(later, ['16', '16', '16', '14', '14']);
    await noneForStrangers.close();
  });

  test('are checked again when what they proved is old, and not before', TIMELY, async () => {
    const ingest = await aReplica(set.operator, { limits: { acceptedMs: 1500, refusedMs: 1500 } });
    const { token } = await world.training('believed');
    const bad = invented('nobody');
    const reviews = async (): Promise<number[]> => [await ingest.metric('polar_ingest_token_reviews_total', { result: 'accepted' }), await ingest.metric('polar_ingest_token_reviews_total', { result: 'refused' })];
    for (let i = 0; i < 3; i++) assert.deepEqual([await callOnce(ingest, token), await callOnce(ingest, bad)], ['served', '16']);
    assert.deepEqual(await reviews(), [1, 1]);
    await sleep(1600);
    assert.deepEqual([await callOnce(ingest, token), await callOnce(ingest, bad)], ['served', '16']);
    assert.deepEqual(await reviews(), [2, 2]);
    await ingest.close();
  });
});

describe('connections', () => {
  test('that never become a trainer are few per address and end soon, while trainers come and stay', TIMELY, async (test) => {
    const ingest = await aReplica(set.operator, { limits: { unprovenPerAddress: 100, unprovenMs: 3000 } });
    const { run, token } = await world.training('early-bird');
    const early = new Trainer(ingest, `Bearer ${token}`);
    await early.untilAcked(0);
    const sockets: Socket[] = [];
    test.after(() => sockets.forEach((socket) => socket.destroy()));
    const left = (): number => sockets.filter(({ closed }) => !closed).length;
    for (let i = 0; i < 2000; i++) {
      const socket = connectTcp({ host: '127.0.0.1', port: ingest.port, localAddress: '127.0.0.3' });
      socket.on('error', () => undefined);
      socket.resume();
      sockets.push(socket);
      // What the kernel of this machine does with a crowd is not at stake here.
      if (i % 100 === 99) await eventually('the server has seen them', () => sockets.every(({ connecting }) => !connecting) && left() <= 100);
    }
    assert.ok(await ingest.metric('polar_ingest_connections') <= 102);
    assert.ok(await firstAckMs(world, ingest, 'among-idle') < 5000);
    await eventually('those that were let in end', () => left() === 0);
    early.send(report(run, 1));
    await early.untilAcked(1);
    await early.finish();
    await eventually('no connection is counted', async () => (await ingest.metric('polar_ingest_connections')) <= 1);
    await ingest.close();
  });

  test('of a trainer that opens stream after stream hold two of them', TIMELY, async () => {
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
    assert.equal(most, 2);
    from.destroy();
    await Promise.all(codes);
    await eventually('no stream is counted', async () => (await ingest.metric('polar_ingest_streams')) === 0);
    await ingest.close();
  });

  test('hold eight streams', TIMELY, async () => {
    // Nobody gets an answer, so that all that are let in stay.
    const ingest = await aReplica(set.operator, { limits: { unknownReviews: { atOnce: 0, waiting: 100 } } });
    const from = session(ingest);
    let refused = 0;
    for (let i = 0; i < 20; i++) {
      const stream = from.request({ ...REPORT, authorization: `Bearer ${invented(`waits-${i}`)}` });
      stream.on('error', () => (refused += 1));
    }
    await eventually('twelve are refused', () => refused >= 12);
    await sleep(300);
    assert.equal(refused, 12);
    from.destroy();
    await ingest.close();
  });

  test('with more metadata than 64 KiB or than 128 fields are refused', TIMELY, async () => {
    const ingest = await aReplica(set.operator);
    const { token } = await world.training('talkative');
    const fields = (count: number, bytes: number): object => Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, 'a'.repeat(bytes)]));
    const call = (more: object): Promise<string> => statusOf(session(ingest).request({ ...REPORT, ...more, authorization: `Bearer ${token}` }));
    assert.equal(await call(fields(100, 400)), 'served');
    for (const more of [fields(10, 10_000), fields(130, 1)]) assert.match(await call(more), /reset|closed/);
    assert.ok(await firstAckMs(world, ingest, 'among-headers') < 5000);
    await ingest.close();
  });

  test('without a stream are ended, and so is after its time any, at the latest when its trainer has not come back', TIMELY, async () => {
    const idle = await aReplica(set.operator, { serverOptions: hurried(60, 'grpc.max_connection_idle_ms') });
    const { token } = await world.training('leaver');
    const from = session(idle);
    const stream = from.request({ ...REPORT, authorization: `Bearer ${token}` });
    assert.equal(await statusOf(stream), 'served');
    const left = new Promise((resolve) => from.on('close', resolve));
    stream.end();
    await within('a connection without a stream is ended', left);
    await idle.close();
    const short = await aReplica(set.operator, { serverOptions: hurried(600, 'grpc.max_connection_age_ms', 'grpc.max_connection_age_grace_ms') });
    const trainer = new Trainer(short, `Bearer ${token}`);
    await trainer.untilAcked(0);
    assert.equal((await trainer.refusal()).code, 'UNAVAILABLE');
    await short.close();
  });

  test('that do not answer pings are ended', TIMELY, async (test) => {
    const ingest = await aReplica(set.operator, { serverOptions: hurried(40, 'grpc.keepalive_time_ms', 'grpc.keepalive_timeout_ms') });
    const { token } = await world.training('mute');
    const toServer: Socket[] = [];
    const between = createServer((socket) => {
      const onward = connectTcp({ host: '127.0.0.1', port: ingest.port });
      toServer.push(onward);
      for (const one of [socket, onward]) one.on('error', () => undefined);
      socket.pipe(onward).pipe(socket);
    }).listen(0, '127.0.0.1');
    test.after(() => {
      between.close();
      for (const socket of toServer) socket.destroy();
    });
    await once(between, 'listening');
    const { port } = between.address() as AddressInfo;
    const from = session({ port, caPem: ingest.caPem });
    assert.equal(await statusOf(from.request({ ...REPORT, authorization: `Bearer ${token}` })), 'served');
    await sleep(2000);
    assert.equal(await ingest.metric('polar_ingest_connections'), 1, 'one that answers stays');
    for (const socket of toServer) socket.unpipe().pause();
    await eventually('no connection is counted', async () => (await ingest.metric('polar_ingest_connections')) === 0);
    from.destroy();
    await ingest.close();
  });
});
