// The life of a run on a real API server: suspended, given more, kept or deleted. The tests play kubelet, trainer and ingest.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import type { ConfigMap } from '../../operator/src/run/objects.ts';
import { get } from '../../operator/src/runtime/verbs.ts';
import { CONFIG_MAPS, eventually, mortal, runStage, unfinished } from './runWorld.ts';
import type { Script } from './runWorld.ts';

const settings = { trainerImage: 'trainer:test', telemetry: { address: 'polar-ingest.polar-system.svc:9443', ca: 'CA', intervalSeconds: 2, since: new Date().toISOString() } };
const stage = runStage('life', { settings });

interface Config { readonly budget: object; readonly gang: { readonly workers: number } }

const configOf = async (attempt: number): Promise<Config> => {
  const configMap = await get<ConfigMap>(stage.admin, CONFIG_MAPS, { namespace: stage.world.namespace, name: `demo-pretrain-${attempt}` });
  return JSON.parse(configMap?.data?.['run.json'] ?? '{}') as Config;
};

/** A gang that trains until it is asked to stop; it is asked as ingest would. */
const savesWhenAsked = (): Script => {
  const asked = new Set<number>();
  const look = async (): Promise<void> => {
    const { status = {} } = await stage.world.run('demo');
    if (status.stopRequest?.attempt !== undefined) asked.add(status.stopRequest.attempt);
  };
  return (attempt) => {
    void look().catch(() => undefined);
    return asked.has(attempt) ? { code: 20, message: 'saved step 120' } : undefined;
  };
};

const untilAttempt = (attempt: number, phase: string): Promise<void> => eventually(async () => {
  const { status = {} } = await stage.world.run('demo');
  assert.deepEqual([status.attempt, status.phase], [attempt, phase], JSON.stringify(status, null, 1));
});

const assertOneAtATime = async (jobs: number): Promise<void> => {
  assert.deepEqual([stage.world.jobUids.size, stage.world.mostLiveAttempts], [jobs, 1], 'Jobs ever made, live attempts at once');
  assert.ok(unfinished(await stage.world.jobs()).length <= 1);
};

test('asks suspended workers to save, keeps their Job until they have, and goes on from there with as many workers as the spec has then', async () => {
  const { world } = stage;
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  await world.patch('demo', { suspend: true });
  await world.until('demo', 'Progressing', 'True', { reason: 'Saving' });
  assert.equal((await world.run('demo')).status?.stopRequest?.reason, 'SuspendRequested');
  assert.deepEqual([unfinished(await world.jobs()).length, (await world.pods()).length], [1, 2], 'nothing is taken from workers that save');
  await stage.restart();
  world.script = savesWhenAsked();
  await world.until('demo', 'Suspended', 'True');
  const { status = {} } = await world.run('demo');
  assert.deepEqual([status.phase, status.attempt, status.interruptions], ['Suspended', 1, 0]);
  assert.ok(status.idleSince !== undefined);
  await world.patch('demo', { suspend: false, workers: { replicas: 3 } });
  await untilAttempt(2, 'Running');
  const { status: resumed = {} } = await world.run('demo');
  assert.deepEqual([resumed.workers, resumed.restarts, resumed.interruptions, resumed.restartsByReason], ['3/3', 0, 1, [{ reason: 'SuspendRequested', count: 1 }]]);
  assert.deepEqual([resumed.stopRequest, resumed.idleSince, (await configOf(2)).gang.workers], [undefined, undefined, 3]);
  await assertOneAtATime(2);
});

test('deletes the Job of suspended workers that do not save in time', async () => {
  const { world } = stage;
  await world.claims();
  await world.pretrain('demo', { recovery: { saveTimeoutSeconds: 2 } });
  await world.until('demo', 'PodsReady', 'True');
  await world.patch('demo', { suspend: true });
  const asked = Date.now();
  await world.until('demo', 'Suspended', 'True');
  assert.ok(Date.now() - asked > 1000, 'not before');
  assert.deepEqual(await world.jobs(), []);
});

test('is the same run after suspend was set and taken back at once, any number of times', async () => {
  const { world } = stage;
  world.script = savesWhenAsked();
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  for (const suspend of [true, false, true, false]) await world.patch('demo', { suspend });
  await world.patch('demo', { suspend: true });
  await world.until('demo', 'Progressing', 'True', { reason: 'Saving' });
  await world.patch('demo', { suspend: false });
  await eventually(async () => assert.equal((await world.run('demo')).status?.attempt, 2));
  await untilAttempt(2, 'Running');
  const { status = {} } = await world.run('demo');
  assert.deepEqual([status.restarts, status.interruptions], [0, 1]);
  await assertOneAtATime(2);
});

for (let writes = 1; writes <= 6; writes++) {
  test(`suspends the same when the operator is killed with write ${writes} of it done and not heard of`, async () => {
    const { world } = stage;
    world.script = savesWhenAsked();
    await world.claims();
    await world.pretrain('demo');
    await world.until('demo', 'Progressing', 'True', { reason: 'Training' });
    let die = (): void => undefined;
    const died = new Promise<void>((resolve) => (die = resolve));
    await stage.restart({ client: mortal(stage.client, writes, () => die()) });
    await world.patch('demo', { suspend: true });
    await Promise.race([died, world.until('demo', 'Suspended', 'True')]);
    await world.patch('demo', { suspend: false });
    await stage.restart();
    await untilAttempt(2, 'Running');
    const { status = {} } = await world.run('demo');
    assert.deepEqual([status.restarts, status.interruptions, status.restartsByReason], [0, 1, [{ reason: 'SuspendRequested', count: 1 }]]);
    await assertOneAtATime(2);
  });
}

test('lets a run train on whose budget is raised: at once while it runs, and again after it was complete', async () => {
  const { world } = stage;
  world.script = savesWhenAsked();
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  await world.patch('demo', { budget: { steps: 800 } });
  await untilAttempt(2, 'Running');
  assert.deepEqual((await configOf(2)).budget, { steps: 800 });
  world.script = (attempt) => (attempt === 2 ? { code: 0, message: 'trained 800 steps' } : undefined);
  await world.until('demo', 'Complete', 'True');
  const complete = (await world.run('demo')).status;
  assert.ok(complete?.completionTime !== undefined);
  await world.patch('demo', { budget: { steps: 1000 } });
  assert.equal((await world.until('demo', 'Complete', 'False')).reason, 'BudgetRaised');
  await untilAttempt(3, 'Running');
  assert.deepEqual((await configOf(3)).budget, { steps: 1000 });
  const { status = {} } = await world.run('demo');
  assert.deepEqual([status.restarts, status.interruptions, status.completionTime, status.budget, status.restartsByReason], [0, 2, undefined, { steps: 1000 }, [{ reason: 'BudgetRaised', count: 2 }]]);
  world.script = () => ({ code: 0, message: 'trained 1000 steps' });
  assert.equal((await world.until('demo', 'Complete', 'True')).message, 'trained 1000 steps');
  await assertOneAtATime(3);
});

test('re-opens a run that failed with too many restarts when it may have more, and no other', async () => {
  const { world } = stage;
  world.script = (attempt) => (attempt < 3 ? { code: 1 } : { code: 11, message: 'a.jsonl:3: not JSON' });
  await world.claims();
  await world.pretrain('demo', { workers: { replicas: 1 }, recovery: { maxRestarts: 1 } });
  await world.until('demo', 'Failed', 'True', { reason: 'MaxRestartsExceeded' });
  await world.patch('demo', { recovery: { maxRestarts: 5 } });
  const failed = await world.until('demo', 'Failed', 'True', { reason: 'DataInvalid' });
  assert.match(failed.message, /attempt 3: .*a\.jsonl:3: not JSON/);
  await world.patch('demo', { recovery: { maxRestarts: 50 }, budget: { steps: 9000 } });
  await stage.restart();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  const { status = {} } = await world.run('demo');
  assert.deepEqual([status.phase, status.attempt, status.restarts, status.restartsByReason], ['Failed', 3, 2, [{ reason: 'Crashed', count: 2 }]]);
});

test('says that a changed number of workers is for the next attempt', async () => {
  const { world } = stage;
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  await world.patch('demo', { workers: { replicas: 4 } });
  await eventually(async () => assert.match((await world.until('demo', 'Progressing', 'True')).message, /runs on 2 workers; spec\.workers\.replicas is 4 now, which the next attempt has/));
  await assertOneAtATime(1);
});

test('deletes a run at the second its time to live is over, also when the operator was away then', async () => {
  const { world } = stage;
  world.script = () => ({ code: 0 });
  await world.claims();
  await world.pretrain('demo', { ttlSecondsAfterFinished: 3 });
  await world.pretrain('later', { ttlSecondsAfterFinished: 4 });
  await world.until('later', 'Complete', 'True');
  const ended = Date.parse((await world.until('demo', 'Complete', 'True').then(() => world.run('demo'))).status?.completionTime ?? '');
  await eventually(async () => assert.equal(await get(stage.admin, RUN_RESOURCES.PolarPretrain, { namespace: world.namespace, name: 'demo' }), undefined), 10_000);
  const afterSeconds = (Date.now() - ended) / 1000;
  assert.ok(afterSeconds >= 3 && afterSeconds < 4.5, `deleted after ${afterSeconds} s`);
  await stage.restart({ client: null });
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await world.run('later');
  await stage.restart();
  await eventually(async () => assert.equal(await get(stage.admin, RUN_RESOURCES.PolarPretrain, { namespace: world.namespace, name: 'later' }), undefined), 3000);
});

test('keeps a run beyond its time to live until those that wait for it have started', async () => {
  const { world } = stage;
  world.script = () => ({ code: 0 });
  await world.claims();
  await world.pretrain('demo', { ttlSecondsAfterFinished: 1 });
  await world.finetune('ft', 'demo');
  await world.until('demo', 'Complete', 'True');
  await new Promise((resolve) => setTimeout(resolve, 2500));
  assert.ok((await world.run('demo')).status?.completionTime !== undefined, 'is still there');
  const { status = {} } = await world.run('demo');
  const best = { step: 450, uri: `${status.checkpointDirectoryUri ?? ''}/step-00000450`, manifestSha256: 'a'.repeat(64) };
  await world.reportCheckpoints('demo', { best, latest: best });
  await eventually(async () => assert.deepEqual((await world.run('ft', 'PolarFinetune')).status?.startedFrom, best));
  await eventually(async () => assert.equal(await get(stage.admin, RUN_RESOURCES.PolarPretrain, { namespace: world.namespace, name: 'demo' }), undefined), 5000);
});

test('protects the checkpoints that other runs start from', async () => {
  const { world } = stage;
  world.script = () => ({ code: 0 });
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'Complete', 'True');
  const { status = {} } = await world.run('demo');
  const at = (step: number): object => ({ step, uri: `${status.checkpointDirectoryUri ?? ''}/step-00000${step}`, manifestSha256: 'a'.repeat(64) });
  await world.reportCheckpoints('demo', { best: at(450), latest: at(500), history: [at(500), at(450), at(400)] });
  await world.finetune('ft', 'demo');
  await world.pretrain('branch', { model: {}, resumeFrom: { pretrainRef: { name: 'demo' }, step: 400 }, suspend: true });
  await eventually(async () => assert.deepEqual((await world.run('demo')).status?.protectedSteps, [400, 450]));
});

test('leaves a run alone that another cluster manages', async () => {
  const { world } = stage;
  await world.claims();
  await world.pretrain('demo', { managedBy: 'kueue.x-k8s.io/multikueue' });
  assert.equal((await world.until('demo', 'Accepted', 'False')).reason, 'ManagedElsewhere');
  const before = await world.run('demo');
  await stage.restart();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const after = await world.run('demo');
  assert.deepEqual([after.metadata.resourceVersion, after.status?.conditions?.length, await world.jobs()], [before.metadata.resourceVersion, 1, []]);
});
