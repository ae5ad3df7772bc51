// Telemetry against a real API server: what reaches a status, whatever fails on the way.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { repositoryRoot } from '../../local/src/paths.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import { remove } from '../../operator/src/runtime/verbs.ts';
import { TIMELY, eventually } from './ingestWait.ts';
import { PRETRAINS, Trainer, aReplica, point, report, setUp } from './ingestWorld.ts';
import type { Replica, SetUp, StoredRun, World } from './ingestWorld.ts';

let set: SetUp;
let world: World;
let ingest: Replica;

before(async () => {
  set = await setUp();
  world = set.world;
  ingest = await aReplica(set.operator);
}, TIMELY);

after(() => set.tearDown(), TIMELY);

const stepsOf = ({ status }: StoredRun): number[] => (status?.curve ?? []).map(({ step }) => step);

describe('a trainer that proves who it is', () => {
  test('sees its report acknowledged once the status holds it', TIMELY, async () => {
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

  test('is told to save and stop when its run is suspended, and again when it comes back', TIMELY, async () => {
    const { token } = await world.training('suspended');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    await trainer.untilAcked(0);
    assert.equal(trainer.responses.at(-1)?.command?.saveAndStop, false);
    await world.client.request('PATCH', pathOf(PRETRAINS, { namespace: world.namespace, name: 'suspended' }), { contentType: 'application/merge-patch+json', body: { spec: { suspend: true } } });
    await eventually('saveAndStop', () => trainer.responses.at(-1)?.command?.saveAndStop === true);
    trainer.drop();
    const again = new Trainer(ingest, `Bearer ${token}`);
    await again.untilAcked(0);
    assert.equal(again.responses[0]?.command?.saveAndStop, true);
    await again.finish();
  });

  test('is told to save and stop when its attempt is asked to, not when an earlier one was, and which checkpoints to keep', TIMELY, async () => {
    const { token } = await world.training('asked');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    await trainer.untilAcked(0);
    const of = { attempt: 1, checkpointDirectoryUri: 'pvc://runs/x' };
    await world.operatorStatus('asked', { ...of, stopRequest: { attempt: 0, reason: 'Evicted' }, protectedSteps: [500, 1000] });
    await eventually('keepSteps', () => trainer.responses.at(-1)?.command?.keepSteps.join() === '500,1000');
    assert.equal(trainer.responses.at(-1)?.command?.saveAndStop, false);
    await world.operatorStatus('asked', { ...of, stopRequest: { attempt: 1, reason: 'Evicted' } });
    await eventually('saveAndStop', () => trainer.responses.at(-1)?.command?.saveAndStop === true);
    assert.deepEqual(trainer.responses.at(-1)?.command?.keepSteps, []);
    trainer.drop();
  });

  test('has its status written rarely, however fast it reports', TIMELY, async () => {
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

  test('loses nothing to the operator writing the same status', TIMELY, async () => {
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

  test('is sent away when its stream sends more than one MiB at once', TIMELY, async () => {
    const { run, token } = await world.training('huge');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    trainer.send(report(run, 1, { points: Array.from({ length: 60_000 }, (_, i) => point(i + 1)) }));
    assert.equal((await trainer.refusal()).code, 'RESOURCE_EXHAUSTED');
  });
});

describe('the trainer program', () => {
  const program = `
import sys
from polar.gen import telemetry_pb2 as pb
from polar.mailbox import Mailbox
from polar.telemetry import Target, TelemetryStream
address, token, ca, run = sys.argv[1:]
mailbox = Mailbox(run, 1, 0)
stream = TelemetryStream(Target(address=address, token_path=token, ca_path=ca, interval_seconds=0.05), mailbox, 1)
for step in range(1, 2501):
    mailbox.add_points([pb.Point(step=step, tokens=step, train_loss=0.7)])
mailbox.put(pb.ReportRequest(progress=pb.Progress(stage="Training", step=2500), final=True))
stream.hurry()
sys.exit(0 if mailbox.wait_until_empty(20) else 1)
`;

  test('reports 2500 points over its own client, and hears that they are kept', TIMELY, async () => {
    const { run, token } = await world.training('python');
    const [tokenPath, caPath] = [join(set.cluster.dir, 'token'), join(set.cluster.dir, 'ingest-ca.crt')];
    writeFileSync(tokenPath, token);
    writeFileSync(caPath, ingest.caPem);
    await promisify(execFile)(join(repositoryRoot, 'trainer/.venv/bin/python'), ['-c', program, `localhost:${ingest.port}`, tokenPath, caPath, run.metadata.uid], { cwd: join(repositoryRoot, 'trainer') });
    const { status } = await world.read('python');
    assert.equal(status?.progress?.stage, 'Done');
    assert.equal(status.progress.step, 2500);
    assert.equal(status.curve?.at(-1)?.step, 2500);
    assert.ok(status.curve.length > 70 && status.curve.length <= 200);
  });
});

describe('while a stream is open', () => {
  test('its attempt being superseded ends it', TIMELY, async () => {
    const { token } = await world.training('overtaken');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    await trainer.untilAcked(0);
    await world.operatorStatus('overtaken', { attempt: 2 });
    assert.equal((await trainer.refusal()).code, 'FAILED_PRECONDITION');
  });

  test('its run being deleted ends it', TIMELY, async () => {
    const { run, token } = await world.training('removed');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    await trainer.untilAcked(0);
    await remove(world.client, PRETRAINS, { namespace: world.namespace, name: 'removed', uid: run.metadata.uid });
    trainer.send(report(run, 1));
    assert.equal((await trainer.refusal()).code, 'NOT_FOUND');
  });

  test('a third stream of the same pod ends the first', TIMELY, async () => {
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
  test('shows the same authority, and messages sent again change nothing', TIMELY, async () => {
    const { run, token } = await world.training('replayed');
    const first = new Trainer(ingest, `Bearer ${token}`);
    for (let seq = 1; seq <= 5; seq++) first.send(report(run, seq));
    await first.untilAcked(5);
    const { caPem } = ingest;
    await ingest.close();
    assert.equal((await first.refusal()).code, 'UNAVAILABLE');
    const before = await world.read('replayed');
    ingest = await aReplica(set.operator);
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

  test('two replicas that get the same messages at once write them once', TIMELY, async () => {
    const { run, token } = await world.training('twins');
    const [one, two] = await Promise.all([aReplica(set.operator), aReplica(set.operator)]);
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

describe('an API server that does not answer', () => {
  test('delays acknowledgements and loses nothing', TIMELY, async () => {
    const { run, token } = await world.training('stalled');
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    trainer.send(report(run, 1));
    await trainer.untilAcked(1);
    set.cluster.signal('kube-apiserver', 'SIGSTOP');
    for (let seq = 2; seq <= 10; seq++) trainer.send(report(run, seq));
    await new Promise((resolve) => setTimeout(resolve, 2500));
    const ackedWhileStopped = trainer.acked;
    set.cluster.signal('kube-apiserver', 'SIGCONT');
    assert.equal(ackedWhileStopped, 1);
    await trainer.untilAcked(10);
    assert.deepEqual(stepsOf(await world.read('stalled')), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert.equal((await trainer.finish()).code, 0);
  });
});

describe('a trainer whose stream was not there', () => {
  const lastWords = (name: string): { text: string; check: () => Promise<void> } => {
    const tail = [{ step: 99, tokens: 990, trainLoss: '0.5' }, { step: 100, tokens: 1000, trainLoss: '0.4', valLoss: '0.43' }];
    const latest = { step: 100, path: '/mnt/polar/checkpoints/x/step-00000100', manifestSha256: 'ef'.repeat(32), valLoss: '0.43' };
    const text = JSON.stringify({ reason: 'Complete', message: '', exitCode: 0, attempt: 1, step: 100, totalSteps: 100, tokens: 1000, trainLoss: '0.4', latest, best: latest, tail });
    const check = async (): Promise<void> => {
      await eventually('the last step is in the status', async () => (await world.read(name)).status?.progress?.stage === 'Done');
      const { status } = await world.read(name);
      assert.equal(status?.progress?.step, 100);
      assert.equal(status.checkpoints?.best?.uri, `pvc://runs/${world.namespace}/${name}/step-00000100`);
      assert.deepEqual(status.curve?.map(({ step }) => step), [99, 100]);
    };
    return { text, check };
  };

  test('is heard through the termination message of its pod', TIMELY, async () => {
    const { pod } = await world.training('lastwords');
    const { text, check } = lastWords('lastwords');
    await world.endPod(pod, text);
    await check();
  });

  test('is heard also when it ended before the operator came', TIMELY, async () => {
    await ingest.close();
    const { pod } = await world.training('unheard');
    const { text, check } = lastWords('unheard');
    await world.endPod(pod, text);
    ingest = await aReplica(set.operator);
    await check();
  });

  test('is heard when its Job was deleted under it, as a suspension does', TIMELY, async () => {
    const { run, job, pod } = await world.training('stopped');
    await world.operatorStatus('stopped', { attempt: 1, job: job.metadata.name, checkpointDirectoryUri: run.status?.checkpointDirectoryUri });
    await world.deleteJob(job);
    const { text, check } = lastWords('stopped');
    await world.endPod(pod, text);
    await check();
  });

  test('is not believed when its pod is nobody\'s or of another attempt', TIMELY, async () => {
    const run = await world.run('unbelieved');
    const { text } = lastWords('unbelieved');
    const job = await world.job(run, 2);
    const seen = await ingest.metric('polar_ingest_terminations_total', { result: 'ignored' });
    await world.endPod(await world.pod('unbelieved-2-0', job), text);
    await world.endPod(await world.pod('unbelieved-x', { ...job, metadata: { ...job.metadata, uid: '00000000-0000-4000-8000-000000000000' } }), text);
    await eventually('both are ignored', async () => (await ingest.metric('polar_ingest_terminations_total', { result: 'ignored' })) === seen + 2);
    assert.equal((await world.read('unbelieved')).status?.progress, undefined);
  });
});
