// Runs against a real API server, Job controller and garbage collector; there is no kubelet, the tests play it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runConfig } from '../../operator/src/api/runConfig.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import type { ConfigMap } from '../../operator/src/run/objects.ts';
import { controllerOf, pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import { create, get, list, remove } from '../../operator/src/runtime/verbs.ts';
import { CONFIG_MAPS, JOBS, SERVICES, eventually, mortal, runStage, unfinished } from './runWorld.ts';

const stage = runStage('run');

test('starts an accepted run as one Job with a headless Service and a run config that the schema accepts', async () => {
  await stage.world.claims();
  const run = await stage.world.pretrain('demo');
  await stage.world.until('demo', 'PodsReady', 'True');
  const at = { namespace: stage.world.namespace, name: 'demo-pretrain-1' };
  const [job, service, configMap] = await Promise.all([get(stage.admin, JOBS, at), get(stage.admin, SERVICES, at), get<ConfigMap>(stage.admin, CONFIG_MAPS, at)]);
  for (const child of [job, service, configMap]) assert.equal(controllerOf(child as KubeObject)?.uid, run.metadata.uid);
  const config = runConfig.parse(JSON.parse(configMap?.data?.['run.json'] ?? ''));
  assert.equal(config.gang.masterAddress, 'demo-pretrain-1-0.demo-pretrain-1');
  const { status } = await stage.world.run('demo');
  assert.deepEqual([status?.phase, status?.attempt, status?.workers, status?.restarts], ['Running', 1, '2/2', 0]);
});

test('follows a crash with a charged attempt, keeps the failed Job for its log, and completes', async () => {
  stage.world.script = (attempt, index) => (attempt === 1 ? (index === 1 ? { code: 1, message: 'RuntimeError: boom' } : undefined) : { code: 0, message: 'trained 500 steps' });
  await stage.world.claims();
  await stage.world.pretrain('demo');
  assert.equal((await stage.world.until('demo', 'Complete', 'True')).message, 'trained 500 steps');
  const { status } = await stage.world.run('demo');
  assert.deepEqual([status?.phase, status?.attempt, status?.restarts, status?.interruptions], ['Complete', 2, 1, 0]);
  assert.deepEqual((await stage.world.jobs()).map((job) => job.metadata.name), ['demo-pretrain-1', 'demo-pretrain-2']);
  assert.equal(stage.world.mostLiveAttempts, 1);
  const events = await list<KubeObject & { reason: string; note: string }>(stage.admin, { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events', namespaced: true }, { namespace: stage.world.namespace });
  const crash = events.items.find((event) => event.reason === 'Crashed');
  assert.match(crash?.note ?? '', /attempt 1 ended: worker 1 \(pod .*\): RuntimeError: boom/);
});

test('fails a run for good on bad data, within seconds and with the file and line', async () => {
  stage.world.script = (_attempt, index) => (index === 0 ? { code: 11, message: 'pool/a.jsonl:17: expected a string in "output", got null' } : undefined);
  await stage.world.claims();
  await stage.world.pretrain('demo');
  const failed = await stage.world.until('demo', 'Failed', 'True');
  assert.equal(failed.reason, 'DataInvalid');
  assert.match(failed.message, /pool\/a\.jsonl:17: expected a string in "output", got null/);
  assert.equal((await stage.world.run('demo')).status?.attempt, 1);
});

test('keeps a failing run away from others', async () => {
  await stage.world.claims();
  await stage.world.pretrain('bad', { checkpoint: { store: { pvc: 'nowhere' } } });
  await stage.world.pretrain('good');
  await stage.world.until('good', 'PodsReady', 'True');
  assert.equal((await stage.world.until('bad', 'Accepted', 'False')).reason, 'VolumeNotFound');
});

test('starts as soon as a missing volume claim appears', async () => {
  await stage.world.claim('runs');
  await stage.world.pretrain('demo');
  const refused = await stage.world.until('demo', 'Accepted', 'False');
  assert.equal(refused.message, `no PersistentVolumeClaim "data" in namespace "${stage.world.namespace}"`);
  await stage.world.claim('data');
  await stage.world.until('demo', 'PodsReady', 'True');
});

test('stops the workers of a suspended run and continues with a free attempt', async () => {
  await stage.world.claims();
  await stage.world.pretrain('demo');
  await stage.world.until('demo', 'PodsReady', 'True');
  await stage.world.patch('demo', { suspend: true });
  await stage.world.until('demo', 'Suspended', 'True');
  await eventually(async () => assert.deepEqual([await stage.world.jobs(), await stage.world.pods()], [[], []]));
  await stage.world.patch('demo', { suspend: false });
  await eventually(async () => {
    const { status } = await stage.world.run('demo');
    assert.deepEqual([status?.phase, status?.attempt, status?.restarts, status?.interruptions], ['Running', 2, 0, 1]);
  });
});

test('replaces a Job that somebody deleted by a free attempt and never runs two', async () => {
  await stage.world.claims();
  await stage.world.pretrain('demo');
  await stage.world.until('demo', 'PodsReady', 'True');
  const [job] = await stage.world.jobs();
  await remove(stage.admin, JOBS, { namespace: stage.world.namespace, name: 'demo-pretrain-1', uid: job?.metadata.uid ?? '' });
  await eventually(async () => assert.deepEqual((await stage.world.run('demo')).status?.attempt, 2));
  await stage.world.until('demo', 'PodsReady', 'True');
  assert.deepEqual([stage.world.jobUids.size, stage.world.mostLiveAttempts, unfinished(await stage.world.jobs()).length], [2, 1, 1]);
});

test('puts back a Service that somebody deleted and repairs one that somebody edited', async () => {
  await stage.world.claims();
  await stage.world.pretrain('demo');
  await stage.world.until('demo', 'PodsReady', 'True');
  const at = { namespace: stage.world.namespace, name: 'demo-pretrain-1' };
  const first = await get(stage.admin, SERVICES, at);
  await remove(stage.admin, SERVICES, { ...at, uid: first?.metadata.uid ?? '' });
  const second = await eventually(async () => {
    const found = await get(stage.admin, SERVICES, at);
    assert.ok(found !== undefined && found.metadata.uid !== first?.metadata.uid);
    return found;
  });
  await stage.admin.request('PATCH', pathOf(SERVICES, at), { body: { spec: { selector: { 'polar.training/attempt': '9' } } }, contentType: 'application/merge-patch+json' });
  await eventually(async () => {
    const found = await get<KubeObject & { spec: { selector: Record<string, string> } }>(stage.admin, SERVICES, at);
    assert.equal(found?.spec.selector['polar.training/attempt'], '1');
    assert.equal(found.metadata.uid, second.metadata.uid);
  });
});

test('names a foreign object in its way, leaves it alone, and goes on when it is gone', async () => {
  await stage.world.claims();
  const foreign = await create<ConfigMap>(stage.admin, CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'demo-pretrain-1', namespace: stage.world.namespace }, data: { mine: 'yes' } });
  await stage.world.pretrain('demo');
  const conflict = await stage.world.until('demo', 'Accepted', 'False', { reason: 'NameConflict' });
  assert.match(conflict.message, /ConfigMap ".*\/demo-pretrain-1" already exists and has no controller/);
  assert.deepEqual((await get<ConfigMap>(stage.admin, CONFIG_MAPS, { namespace: stage.world.namespace, name: 'demo-pretrain-1' }))?.data, { mine: 'yes' });
  await remove(stage.admin, CONFIG_MAPS, { namespace: stage.world.namespace, name: 'demo-pretrain-1', uid: foreign.metadata.uid ?? '' });
  await stage.world.until('demo', 'PodsReady', 'True');
});

test('says why pods are refused by a quota and starts when the quota allows them', async () => {
  await stage.world.claims();
  const quota = { apiVersion: 'v1', kind: 'ResourceQuota', plural: 'resourcequotas', namespaced: true };
  const made = await create(stage.admin, quota, { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'none', namespace: stage.world.namespace }, spec: { hard: { pods: '0' } } } as KubeObject);
  await stage.world.pretrain('demo');
  const stalled = await stage.world.until('demo', 'Stalled', 'True');
  assert.equal(stalled.reason, 'PodCreationRefused');
  assert.match(stalled.message, /exceeded quota: none/);
  await remove(stage.admin, quota, { namespace: stage.world.namespace, name: 'none', uid: made.metadata.uid ?? '' });
  await stage.world.until('demo', 'PodsReady', 'True');
});

test('fails a run whose image cannot be pulled when its start deadline has passed, and removes its Job', async () => {
  stage.world.script = () => 'pending';
  await stage.world.claims();
  await stage.world.pretrain('demo', { recovery: { startDeadlineSeconds: 4 } });
  const pods = await eventually(async () => {
    const found = await stage.world.pods();
    assert.equal(found.length, 2);
    return found;
  });
  await stage.world.setPod(pods[0]?.metadata.name ?? '', { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "trainer:typo"' } });
  assert.match((await stage.world.until('demo', 'Stalled', 'True', { reason: 'ImagePullFailed' })).message, /Back-off pulling image "trainer:typo"/);
  const failed = await stage.world.until('demo', 'Failed', 'True');
  assert.match(failed.message, /did not all start within 4 seconds: ImagePullFailed: .*trainer:typo/);
  await eventually(async () => assert.deepEqual(await stage.world.jobs(), []));
});

test('leaves nothing behind when a run is deleted, and a namesake starts from nothing', async () => {
  await stage.world.claims();
  const first = await stage.world.pretrain('demo');
  await stage.world.until('demo', 'PodsReady', 'True');
  await remove(stage.admin, RUN_RESOURCES.PolarPretrain, { namespace: stage.world.namespace, name: 'demo', uid: first.metadata.uid });
  await stage.world.pretrain('demo');
  await stage.world.until('demo', 'PodsReady', 'True');
  const { status, metadata } = await stage.world.run('demo');
  assert.deepEqual([status?.attempt, status?.interruptions], [1, 0]);
  for (const job of await stage.world.jobs()) assert.equal(controllerOf(job)?.uid, metadata.uid);
});

test('needs no write once a run is at rest', async () => {
  await stage.world.claims();
  await stage.world.pretrain('demo');
  await stage.world.until('demo', 'PodsReady', 'True');
  const before = (await stage.world.run('demo')).metadata.resourceVersion;
  await stage.restart();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal((await stage.world.run('demo')).metadata.resourceVersion, before);
});

// A crash, a restart and completion take about this many writes; later deaths happen after the end and change nothing either.
for (let writes = 1; writes <= 16; writes++) {
  test(`ends the same when the operator is killed with its write number ${writes} done and not heard of`, async () => {
    let die = (): void => undefined;
    const died = new Promise<void>((resolve) => (die = resolve));
    await stage.restart({ client: mortal(stage.client, writes, () => die()) });
    stage.world.script = (attempt, index) => (attempt === 1 ? (index === 1 ? { code: 1 } : undefined) : { code: 0, message: 'done' });
    await stage.world.claims();
    await stage.world.pretrain('demo');
    await Promise.race([died, stage.world.until('demo', 'Complete', 'True')]);
    await stage.restart();
    await stage.world.until('demo', 'Complete', 'True');
    const { status } = await stage.world.run('demo');
    assert.deepEqual([status?.phase, status?.attempt, status?.restarts, status?.interruptions, status?.job], ['Complete', 2, 1, 0, 'demo-pretrain-2']);
    assert.deepEqual([stage.world.jobUids.size, stage.world.mostLiveAttempts], [2, 1], 'two Jobs were ever made, one at a time');
    assert.deepEqual((await stage.world.jobs()).map((job) => job.metadata.name), ['demo-pretrain-1', 'demo-pretrain-2']);
  });
}
