// What a runaway trainer can do to ingest: be read more slowly.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Limits } from '../../operator/src/ingest/limits.ts';
import { REPORT, framed, session, unframed } from './ingestRaw.ts';
import { TIMELY, eventually } from './ingestWait.ts';
import { Trainer, aReplica, firstAckMs, point, report, setUp } from './ingestWorld.ts';
import type { Replica, SetUp, StoredRun, World } from './ingestWorld.ts';

let set: SetUp;
let world: World;

before(async () => {
  set = await setUp();
  world = set.world;
}, TIMELY);

after(() => set.tearDown(), TIMELY);

const NO_PACE = { messagesPerSecond: 1e6, messageBurst: 1e6, bytesPerSecond: 1e9, byteBurst: 1e9 };
/** Report number `seq` with 500 points, 9 KB. */
const large = (run: StoredRun, seq: number): object => report(run, seq, { points: Array.from({ length: 500 }, (_, i) => point(seq * 500 + i)) });

/** A trainer that has been let in. */
async function begun(ingest: Replica, token: string): Promise<Trainer> {
  const trainer = new Trainer(ingest, `Bearer ${token}`);
  await trainer.untilAcked(0);
  return trainer;
}

describe('a trainer', () => {
  test('that reports too often is read more slowly, over both its streams together, and another is not', TIMELY, async () => {
    const ingest = await aReplica(set.operator, { limits: { messagesPerSecond: 20, messageBurst: 10 } });
    const { run, token } = await world.training('hasty');
    const trainers = [await begun(ingest, token), await begun(ingest, token)];
    const at = performance.now();
    for (let seq = 1; seq <= 35; seq++) for (const trainer of trainers) trainer.send(report(run, seq));
    assert.ok(await firstAckMs(world, ingest, 'beside-hasty') < 2500);
    for (const trainer of trainers) await trainer.untilAcked(35);
    assert.ok(performance.now() - at > 2500, `70 reports in ${performance.now() - at} ms at 20 a second and 10 at once`);
    for (const trainer of trainers) await trainer.finish();
    await ingest.close();
  });

  test('that reports too much is read more slowly', TIMELY, async () => {
    const ingest = await aReplica(set.operator, { limits: { bytesPerSecond: 50_000, byteBurst: 50_000 } });
    const { run, token } = await world.training('wordy');
    const trainer = await begun(ingest, token);
    const at = performance.now();
    for (let seq = 1; seq <= 25; seq++) trainer.send(large(run, seq));
    await trainer.untilAcked(25);
    assert.ok(performance.now() - at > 2000, `25 large reports in ${performance.now() - at} ms`);
    await trainer.finish();
    await ingest.close();
  });

  const full: readonly [string, Partial<Limits>][] = [
    ['the memory for its run', { pendingBytesPerRun: 100_000 }],
    ['the memory for all runs', { pendingBytes: 100_000 }],
    ['what may wait of its stream', { messagesInFlight: 20 }],
  ];
  for (const [what, limits] of full) {
    test(`is not read while the API server keeps nothing and ${what} is full, and nothing is lost`, TIMELY, async () => {
      const ingest = await aReplica(set.operator, { limits: { ...NO_PACE, ...limits } });
      const name = what.replaceAll(' ', '-');
      const { run, token } = await world.training(name);
      const trainer = new Trainer(ingest, `Bearer ${token}`);
      trainer.send(report(run, 1));
      await trainer.untilAcked(1);
      set.cluster.signal('kube-apiserver', 'SIGSTOP');
      for (let seq = 2; seq <= 200; seq++) trainer.send(large(run, seq));
      await sleep(2500);
      const [{ ackedSeq, acceptedSeq } = { ackedSeq: -1n, acceptedSeq: -1n }, pending] = [trainer.responses.at(-1), await ingest.metric('polar_ingest_pending_bytes')];
      set.cluster.signal('kube-apiserver', 'SIGCONT');
      assert.equal(ackedSeq, 1n);
      assert.ok(acceptedSeq > 5n && acceptedSeq < 40n, `${acceptedSeq} of 200 reports were taken`);
      assert.ok(pending > 50_000 && pending < 250_000, `${pending} bytes are pending`);
      await trainer.untilAcked(200);
      assert.equal((await world.read(name)).status?.curve?.at(-1)?.step, 200 * 500 + 499);
      await trainer.finish();
      await ingest.close();
    });
  }

  test('has its status written once per interval, however often it reports', TIMELY, async () => {
    const ingest = await aReplica(set.operator, { limits: { minWriteIntervalMs: 1000 } });
    const { run, token } = await world.training('steady');
    const trainer = await begun(ingest, token);
    for (let seq = 1; seq <= 30; seq++) {
      trainer.send(report(run, seq));
      await sleep(100);
    }
    await trainer.untilAcked(30);
    const writes = await ingest.metric('polar_ingest_status_writes_total', { result: 'written' });
    assert.ok(writes >= 3 && writes <= 5, `${writes} writes in three seconds`);
    await trainer.finish();
    await ingest.close();
  });

  test('that reads nothing has a few responses waiting, the newest among them', TIMELY, async () => {
    const ingest = await aReplica(set.operator, { limits: NO_PACE });
    const { run, token } = await world.training('deaf');
    const from = session(ingest, '127.0.0.2', { settings: { initialWindowSize: 0 } });
    const stream = from.request({ ...REPORT, authorization: `Bearer ${token}` }, { endStream: false });
    const chunks: Buffer[] = [];
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    for (let seq = 1; seq <= 200; seq++) {
      stream.write(framed(report(run, seq)));
      await sleep(5);
    }
    await eventually('all are kept', async () => (await world.read('deaf')).status?.progress?.seq === 200);
    await sleep(200);
    assert.equal(chunks.length, 0);
    from.settings({ initialWindowSize: 65_535 });
    const responses = (): ReturnType<typeof unframed> => unframed(Buffer.concat(chunks));
    await eventually('the newest response comes', () => responses().at(-1)?.ackedSeq === 200n);
    assert.ok(responses().length <= 20, `${responses().length} responses to 200 reports waited`);
    from.destroy();
    await ingest.close();
  });

  test('that reports a million points leaves an object of less than 64 KiB', TIMELY, async (test) => {
    const ingest = await aReplica(set.operator, { limits: NO_PACE });
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
    await ingest.close();
  });
});
