// Certificates renewed under load: trainers that came before, during and after, on two replicas; no call may fail.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { status } from '@grpc/grpc-js';
import { ensureCertificate, issue, servingNames } from '../../operator/src/ingest/certificate.ts';
import { TIMELY, eventually, within } from './ingestWait.ts';
import { Trainer, aReplica, report, setUp } from './ingestWorld.ts';
import type { Replica, SetUp, StoredRun, Target } from './ingestWorld.ts';

const OK = status.OK;
const DAY_MS = 86_400_000;
const daysAgo = (days: number): Date => new Date(Date.now() - days * DAY_MS);

let set: SetUp;
let replicas: Replica[];
let now = daysAgo(85);

before(async () => {
  set = await setUp();
  // A CA that ends in 360 days: the next one has been made, but does not sign before it has less than 365 days left.
  await ensureCertificate(set.operator, 'polar-system', now, await issue(servingNames('polar-system'), daysAgo(3650 - 360)));
  replicas = await Promise.all([1, 2].map(() => aReplica(set.operator, { now: () => now, lookAtCertificateMs: 150 })));
}, TIMELY);

after(() => set.tearDown(), TIMELY);

/** Serial number of the certificate that a new connection sees, and the name of who signed it. */
function shown({ port, caPem }: Target): Promise<{ serial: string; issuer: string }> {
  return within('a connection shows its certificate', new Promise((resolve, reject) => {
    const socket = connect({ port, host: 'localhost', ca: caPem, ALPNProtocols: ['h2'] }, () => {
      const { serialNumber, issuer } = socket.getPeerCertificate();
      socket.destroy();
      resolve({ serial: serialNumber, issuer: String(issuer.CN) });
    });
    socket.on('error', reject);
  }));
}

interface Load {
  readonly failures: string[];
  calls: number;
  isStopped: boolean;
}

/** A trainer that connects anew for each report, with the authorities it was given when it began. */
async function comesAgain(load: Load, target: () => Target, { run, token }: { run: StoredRun; token: string }): Promise<void> {
  for (let seq = 1; !load.isStopped; seq++) {
    const trainer = new Trainer(target(), `Bearer ${token}`);
    trainer.send(report(run, seq));
    const { code, details } = await Promise.race([trainer.untilAcked(seq).then(() => trainer.finish()), trainer.ended]);
    load.calls += 1;
    if (code !== OK || trainer.acked < seq) load.failures.push(`seq ${seq}: ${code} ${details}`);
  }
}

/** A trainer whose one stream stays open. */
async function stays(load: Load, target: Target, { run, token }: { run: StoredRun; token: string }): Promise<void> {
  const trainer = new Trainer(target, `Bearer ${token}`);
  void trainer.ended.then(({ code, details }) => load.isStopped || load.failures.push(`stream ended: ${code} ${details}`));
  for (let seq = 1; !load.isStopped; seq++) {
    trainer.send(report(run, seq));
    await Promise.race([trainer.untilAcked(seq), trainer.ended]);
    load.calls += 1;
    await sleep(50);
  }
  const { code, details } = await trainer.finish();
  if (code !== OK) load.failures.push(`stream ended with ${code} ${details}`);
}

test('renewing the certificate and then its authority fails no call on any replica', TIMELY, async (test) => {
  const load: Load = { failures: [], calls: 0, isStopped: false };
  test.after(() => (load.isStopped = true));
  const held = replicas.map(({ port, caPem }) => ({ port, caPem }));
  const at = (i: number): Target => held[i % held.length] as Target;
  const trainers = await Promise.all(Array.from({ length: 6 }, (_, i) => set.world.training(`rotate-${i}`)));
  const running = trainers.map((trainer, i) => (i < 2 ? stays(load, at(i), trainer) : comesAgain(load, () => at(i + load.calls), trainer)));
  await sleep(1000);
  const first = await Promise.all(held.map(shown));
  assert.equal(first[0]?.serial, first[1]?.serial, 'replicas share one certificate');

  now = daysAgo(20);
  await eventually('both replicas show a renewed certificate', async () => (await Promise.all(held.map(shown))).every(({ serial }) => serial !== first[0]?.serial));
  const second = await Promise.all(held.map(shown));
  assert.equal(second[0]?.serial, second[1]?.serial);
  assert.equal(second[0]?.issuer, first[0]?.issuer, 'under the same authority');
  await sleep(1000);

  now = new Date();
  await eventually('both replicas show one of the next authority', async () => (await Promise.all(held.map(shown))).every(({ issuer }) => issuer !== first[0]?.issuer));
  const third = await Promise.all(held.map(shown));
  assert.equal(third[0]?.serial, third[1]?.serial);
  await sleep(1000);
  // A trainer that begins now trusts what now signs, first of all.
  const late = await set.world.training('rotate-late');
  const newest = replicas[0] as Replica;
  assert.notEqual(newest.caPem, held[0]?.caPem);
  await Promise.race([comesAgain(load, () => ({ port: newest.port, caPem: newest.caPem }), late), sleep(500)]);

  load.isStopped = true;
  await Promise.all(running);
  assert.deepEqual(load.failures, []);
  assert.ok(load.calls > 50, `${load.calls} calls`);
});
