// Telemetry against a real API server: real tokens bound to real pods, real TLS, the operator's own permissions.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { applyFiles } from '../../local/src/apply.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { issue, servingNames } from '../../operator/src/ingest/certificate.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import { create, remove } from '../../operator/src/runtime/verbs.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { PODS, PRETRAINS, SERVICE_ACCOUNTS, Trainer, World, aReplica, closeTrainers, eventually, operatorClient } from './ingestWorld.ts';
import type { Replica, StoredRun } from './ingestWorld.ts';

let cluster: TestCluster;
let admin: KubeClient;
let operator: KubeClient;
let world: World;
let ingest: Replica;
const clients: KubeClient[] = [];

before(async () => {
  cluster = await startCluster({ crds: true });
  admin = await clientFor(cluster.adminConfig);
  await applyFiles(cluster.kubeconfigPath, [join(repositoryRoot, 'local/manifests/operator.yaml')]);
  operator = await operatorClient(cluster, admin);
  clients.push(admin, operator);
  world = new World(admin, await cluster.namespace('ingest'));
  await create(admin, SERVICE_ACCOUNTS, { metadata: { name: 'default', namespace: world.namespace } });
  ingest = await aReplica(operator);
});

after(async () => {
  closeTrainers();
  await ingest.close();
  await Promise.all(clients.map((client) => client.close()));
  await cluster.stop();
});

const point = (step: number): object => ({ step: BigInt(step), tokens: BigInt(step * 100), trainLoss: 1 / step });
const report = (run: StoredRun, seq: number, fields: object = {}): object =>
  ({ runUid: run.metadata.uid, attempt: 1, seq: BigInt(seq), points: [point(seq)], progress: { stage: 'Training', step: BigInt(seq) }, ...fields });
const stepsOf = ({ status }: StoredRun): number[] => (status?.curve ?? []).map(({ step }) => step);

describe('a trainer that proves who it is', () => {
  test('sees its report acknowledged once the status holds it', async () => {
    const { run, token } = await world.training('accepted');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    trainer.send(report(run, 1, { progress: { stage: 'Training', step: 1n, totalSteps: 10n, trainLoss: Number.NaN, tokensPerSecond: 1234 } }));
    await trainer.untilAcked(1);
    const { status, metadata } = await world.read('accepted');
    assert.equal(status?.progress?.step, 1);
    assert.equal(status.progress.tokensPerSecond, '1234');
    assert.equal(status.progress.trainLoss, undefined);
    assert.deepEqual(stepsOf(await world.read('accepted')), [1]);
    assert.equal(status.attempt, 1, 'what the operator wrote is untouched');
    const managers = (metadata.managedFields as { manager: string; subresource?: string }[]).filter(({ subresource }) => subresource === 'status').map(({ manager }) => manager);
    assert.deepEqual(managers.sort(), ['polar-ingest', 'polar-operator']);
    assert.equal((await trainer.finish()).code, 0);
  });

  test('is told to save and stop when its run is suspended, and again when it comes back', async () => {
    const { token } = await world.training('suspended');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    await trainer.untilAcked(0);
    assert.equal(trainer.responses.at(-1)?.command?.saveAndStop, false);
    await admin.request('PATCH', pathOf(PRETRAINS, { namespace: world.namespace, name: 'suspended' }), { contentType: 'application/merge-patch+json', body: { spec: { suspend: true } } });
    await eventually('saveAndStop', () => trainer.responses.at(-1)?.command?.saveAndStop === true);
    trainer.drop();
    const again = new Trainer(ingest, `Bearer ${token}`);
    await again.untilAcked(0);
    assert.equal(again.responses[0]?.command?.saveAndStop, true);
    await again.finish();
  });

  test('has its status written rarely, however fast it reports', async () => {
    const { run, token } = await world.training('flood');
    const before = await ingest.metric('polar_ingest_status_writes_total', { result: 'written' });
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    for (let seq = 1; seq <= 60; seq++) trainer.send(report(run, seq));
    await trainer.untilAcked(60);
    assert.equal(stepsOf(await world.read('flood')).length, 60);
    const writes = (await ingest.metric('polar_ingest_status_writes_total', { result: 'written' })) - before;
    assert.ok(writes <= 20, `${writes} writes for 60 messages`);
    await trainer.finish();
  });

  test('loses nothing to the operator writing the same status', async () => {
    const { run, token } = await world.training('contended');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    for (let seq = 1; seq <= 20; seq++) {
      trainer.send(report(run, seq));
      await world.operatorStatus('contended', { attempt: 1, checkpointDirectoryUri: 'pvc://runs/x', restarts: seq });
    }
    await trainer.untilAcked(20);
    const after = await world.read('contended');
    assert.equal(stepsOf(after).length, 20);
    assert.equal(after.status?.restarts, 20);
    await trainer.finish();
  });

  test('is sent away when its stream sends more than one MiB at once', async () => {
    const { run, token } = await world.training('huge');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    trainer.send(report(run, 1, { points: Array.from({ length: 60_000 }, (_, i) => point(i + 1)) }));
    assert.equal((await trainer.refusal()).code, 'RESOURCE_EXHAUSTED');
  });
});

describe('a caller', () => {
  const refused = async (authorization: string | undefined, code: string | readonly string[], details: RegExp): Promise<void> => {
    const refusal = await new Trainer(ingest, authorization).refusal();
    assert.ok([code].flat().includes(refusal.code), `${refusal.code}: ${refusal.details}`);
    assert.match(refusal.details, details);
  };

  test('without a token is refused', () => refused(undefined, 'UNAUTHENTICATED', /expected "authorization: Bearer/));
  test('with "Bearer nothing" is refused', () => refused('Bearer nothing', 'UNAUTHENTICATED', /token refused/));
  test('with another scheme is refused', () => refused('Basic YTpi', 'UNAUTHENTICATED', /expected/));

  test('with a token for another audience is refused', async () => {
    const { pod } = await world.training('audience');
    await refused(`Bearer ${await world.token(pod, 'https://kubernetes.default.svc')}`, 'UNAUTHENTICATED', /token refused/);
  });

  test('with a token that is bound to no pod is refused', async () => {
    await refused(`Bearer ${await world.token(undefined)}`, 'PERMISSION_DENIED', /not bound to a pod/);
  });

  test('whose pod was deleted is refused, also when another pod has its name', async () => {
    const { pod, job, token } = await world.training('deleted');
    await remove(admin, PODS, { namespace: world.namespace, name: pod.metadata.name, uid: pod.metadata.uid });
    await refused(`Bearer ${token}`, ['UNAUTHENTICATED', 'PERMISSION_DENIED'], /token refused|is gone/);
    await world.pod(pod.metadata.name, job);
    await new Promise((resolve) => setTimeout(resolve, 5500));
    await refused(`Bearer ${token}`, ['UNAUTHENTICATED', 'PERMISSION_DENIED'], /token refused|is gone/);
  });

  test('whose pod is nobody\'s is refused', async () => {
    await refused(`Bearer ${await world.token(await world.pod('lonely', undefined))}`, 'PERMISSION_DENIED', /not controlled by a Job/);
  });

  test('whose Job is gone, or was made anew under its name, is refused', async () => {
    const run = await world.run('newjob');
    const job = await world.job(run);
    const pod = await world.pod('newjob-1-0', { ...job, metadata: { ...job.metadata, uid: '00000000-0000-4000-8000-000000000000' } });
    await refused(`Bearer ${await world.token(pod)}`, 'PERMISSION_DENIED', /is gone/);
  });

  test('whose Job belongs to no run is refused', async () => {
    const run = await world.run('stranger');
    const job = await world.job(run, 1, { apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: run.metadata.uid, controller: true });
    await refused(`Bearer ${await world.token(await world.pod('stranger-1-0', job))}`, 'PERMISSION_DENIED', /not controlled by a run/);
  });

  test('whose run was made anew under its name is refused', async () => {
    const run = await world.run('reborn');
    const owner = { apiVersion: PRETRAINS.apiVersion, kind: PRETRAINS.kind, name: 'reborn', uid: '00000000-0000-4000-8000-000000000000', controller: true };
    await refused(`Bearer ${await world.token(await world.pod('reborn-1-0', await world.job(run, 1, owner)))}`, 'NOT_FOUND', /is gone/);
  });

  test('that is worker 1 is refused', async () => {
    const pod = await world.pod('index-1-1', await world.job(await world.run('index')), 1);
    await refused(`Bearer ${await world.token(pod)}`, 'PERMISSION_DENIED', /not worker 0/);
  });

  test('of a superseded attempt is refused', async () => {
    const { token } = await world.training('superseded');
    await world.operatorStatus('superseded', { attempt: 2 });
    await refused(`Bearer ${token}`, 'FAILED_PRECONDITION', /superseded by attempt 2/);
  });

  test('whose pod has ended is refused', async () => {
    const { pod, token } = await world.training('ended');
    await world.endPod(pod, 'no JSON');
    await refused(`Bearer ${token}`, 'PERMISSION_DENIED', /has ended/);
  });

  test('that reports for the run or the attempt of another pod is refused, and nothing is written', async () => {
    const { token } = await world.training('liar');
    const victim = await world.training('victim');
    for (const [fields, details] of [[{}, /run_uid is not/], [{ runUid: (await world.read('liar')).metadata.uid, attempt: 7 }, /attempt is 7/]] as const) {
      const trainer = new Trainer(ingest, `Bearer ${token}`);
      trainer.send(report(victim.run, 1, fields));
      const refusal = await trainer.refusal();
      assert.equal(refusal.code, 'PERMISSION_DENIED');
      assert.match(refusal.details, details);
    }
    for (const name of ['liar', 'victim']) assert.equal((await world.read(name)).status?.progress, undefined);
  });

  test('that trusts another authority does not connect', async () => {
    const { token } = await world.training('authority');
    const other = await issue(servingNames('polar-system'), new Date());
    assert.equal((await new Trainer({ ...ingest, caPem: other.caPem }, `Bearer ${token}`).refusal()).code, 'UNAVAILABLE');
  });
});

describe('while a stream is open', () => {
  test('its attempt being superseded ends it', async () => {
    const { token } = await world.training('overtaken');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    await trainer.untilAcked(0);
    await world.operatorStatus('overtaken', { attempt: 2 });
    assert.equal((await trainer.refusal()).code, 'FAILED_PRECONDITION');
  });

  test('its run being deleted ends it', async () => {
    const { run, token } = await world.training('removed');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    await trainer.untilAcked(0);
    await remove(admin, PRETRAINS, { namespace: world.namespace, name: 'removed', uid: run.metadata.uid });
    trainer.send(report(run, 1));
    assert.equal((await trainer.refusal()).code, 'NOT_FOUND');
  });

  test('a third stream of the same pod ends the first', async () => {
    const { token } = await world.training('thrice');
    const trainers = [new Trainer(ingest, `Bearer ${token}`)];
    await trainers[0]?.untilAcked(0);
    trainers.push(new Trainer(ingest, `Bearer ${token}`), new Trainer(ingest, `Bearer ${token}`));
    assert.equal((await trainers[0]?.refusal())?.code, 'ABORTED');
    for (const trainer of trainers.slice(1)) await trainer.finish();
    await eventually('no stream is counted', async () => (await ingest.metric('polar_ingest_streams')) === 0);
  });
});

describe('an operator that restarts', () => {
  test('shows the same authority, and messages sent again change nothing', async () => {
    const { run, token } = await world.training('replayed');
    const first = new Trainer(ingest, `Bearer ${token}`);
    for (let seq = 1; seq <= 5; seq++) first.send(report(run, seq));
    await first.untilAcked(5);
    const { caPem } = ingest;
    await ingest.close();
    assert.equal((await first.refusal()).code, 'UNAVAILABLE');
    const before = await world.read('replayed');
    ingest = await aReplica(operator);
    assert.equal(ingest.caPem, caPem);
    const second = new Trainer(ingest, `Bearer ${token}`);
    await second.untilAcked(5);
    for (let seq = 3; seq <= 5; seq++) second.send(report(run, seq));
    await eventually('three duplicates', async () => (await ingest.metric('polar_ingest_messages_total', { result: 'duplicate' })) === 3);
    assert.equal((await world.read('replayed')).metadata.resourceVersion, before.metadata.resourceVersion);
    second.send(report(run, 6));
    await second.untilAcked(6);
    assert.deepEqual(stepsOf(await world.read('replayed')), [1, 2, 3, 4, 5, 6]);
    await second.finish();
  });

  test('two replicas that get the same messages at once write them once', async () => {
    const { run, token } = await world.training('twins');
    const [one, two] = await Promise.all([aReplica(operator), aReplica(operator)]);
    assert.equal(one.caPem, two.caPem);
    const trainers = [one, two].map((replica) => new Trainer(replica, `Bearer ${token}`));
    for (let seq = 1; seq <= 40; seq++) for (const trainer of trainers) trainer.send(report(run, seq));
    await Promise.all(trainers.map((trainer) => trainer.untilAcked(40)));
    const after = await world.read('twins');
    assert.equal(after.status?.progress?.seq, 40);
    assert.equal(stepsOf(after).length, 40);
    await Promise.all(trainers.map((trainer) => trainer.finish()));
    await Promise.all([one.close(), two.close()]);
  });
});

describe('a trainer whose stream was not there', () => {
  test('is heard through the termination message of its pod', async () => {
    const { pod } = await world.training('lastwords');
    const tail = [{ step: 99, tokens: 990, trainLoss: '0.5' }, { step: 100, tokens: 1000, trainLoss: '0.4', valLoss: '0.43' }];
    const latest = { step: 100, path: '/mnt/polar/checkpoints/x/step-00000100', manifestSha256: 'ef'.repeat(32), valLoss: '0.43' };
    await world.endPod(pod, JSON.stringify({ reason: 'Complete', message: '', exitCode: 0, attempt: 1, step: 100, totalSteps: 100, tokens: 1000, trainLoss: '0.4', latest, best: latest, tail }));
    await eventually('the last step is in the status', async () => (await world.read('lastwords')).status?.progress?.stage === 'Done');
    const { status } = await world.read('lastwords');
    assert.equal(status?.progress?.step, 100);
    assert.equal(status.checkpoints?.best?.uri, `pvc://runs/${world.namespace}/lastwords/step-00000100`);
    assert.deepEqual(status.curve?.map(({ step }) => step), [99, 100]);
  });
});
