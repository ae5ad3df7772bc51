// Runs against a real API server, Job controller and garbage collector; there is no kubelet, the tests play it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { applyFiles } from '../../local/src/apply.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { runConfig } from '../../operator/src/api/runConfig.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import type { ConfigMap } from '../../operator/src/run/objects.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { controllerOf, pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import { create, get, list, remove } from '../../operator/src/runtime/verbs.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { CONFIG_MAPS, JOBS, RunWorld, SERVICES, eventually, mortal, operatorClient, startOperator, unfinished } from './runWorld.ts';
import type { Operator } from './runWorld.ts';

let cluster: TestCluster;
let admin: KubeClient;
let client: KubeClient;
let world: RunWorld;
let operator: Operator | undefined;

before(async () => {
  cluster = await startCluster({ crds: true, controllers: true });
  admin = await clientFor(cluster.adminConfig);
  await applyFiles(cluster.kubeconfigPath, [join(repositoryRoot, 'local/manifests/operator.yaml')]);
  client = await operatorClient(cluster, admin);
});

beforeEach(async () => {
  world = new RunWorld(admin, await cluster.namespace('run'));
  operator = startOperator(client);
});

afterEach(async () => {
  await operator?.stop();
  await world.stop();
});

after(async () => {
  await Promise.all([client.close(), admin.close()]);
  await cluster.stop();
});

test('starts an accepted run as one Job with a headless Service and a run config that the schema accepts', async () => {
  await world.claims();
  const run = await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  const at = { namespace: world.namespace, name: 'demo-pretrain-1' };
  const [job, service, configMap] = await Promise.all([get(admin, JOBS, at), get(admin, SERVICES, at), get<ConfigMap>(admin, CONFIG_MAPS, at)]);
  for (const child of [job, service, configMap]) assert.equal(controllerOf(child as KubeObject)?.uid, run.metadata.uid);
  const config = runConfig.parse(JSON.parse(configMap?.data?.['run.json'] ?? ''));
  assert.equal(config.gang.masterAddress, 'demo-pretrain-1-0.demo-pretrain-1');
  const { status } = await world.run('demo');
  assert.deepEqual([status?.phase, status?.attempt, status?.workers, status?.restarts], ['Running', 1, '2/2', 0]);
});

test('follows a crash with a charged attempt, keeps the failed Job for its log, and completes', async () => {
  world.script = (attempt, index) => (attempt === 1 ? (index === 1 ? { code: 1, message: 'RuntimeError: boom' } : undefined) : { code: 0, message: 'trained 500 steps' });
  await world.claims();
  await world.pretrain('demo');
  assert.equal((await world.until('demo', 'Complete', 'True')).message, 'trained 500 steps');
  const { status } = await world.run('demo');
  assert.deepEqual([status?.phase, status?.attempt, status?.restarts, status?.interruptions], ['Complete', 2, 1, 0]);
  assert.deepEqual((await world.jobs()).map((job) => job.metadata.name), ['demo-pretrain-1', 'demo-pretrain-2']);
  assert.equal(world.mostLiveAttempts, 1);
  const events = await list<KubeObject & { reason: string; note: string }>(admin, { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events', namespaced: true }, { namespace: world.namespace });
  const crash = events.items.find((event) => event.reason === 'Crashed');
  assert.match(crash?.note ?? '', /attempt 1 ended: worker 1 \(pod .*\): RuntimeError: boom/);
});

test('fails a run for good on bad data, within seconds and with the file and line', async () => {
  world.script = (_attempt, index) => (index === 0 ? { code: 11, message: 'pool/a.jsonl:17: expected a string in "output", got null' } : undefined);
  await world.claims();
  await world.pretrain('demo');
  const failed = await world.until('demo', 'Failed', 'True');
  assert.equal(failed.reason, 'DataInvalid');
  assert.match(failed.message, /pool\/a\.jsonl:17: expected a string in "output", got null/);
  assert.equal((await world.run('demo')).status?.attempt, 1);
});

test('keeps a failing run away from others', async () => {
  await world.claims();
  await world.pretrain('bad', { checkpoint: { store: { pvc: 'nowhere' } } });
  await world.pretrain('good');
  await world.until('good', 'PodsReady', 'True');
  assert.equal((await world.until('bad', 'Accepted', 'False')).reason, 'VolumeNotFound');
});

test('starts as soon as a missing volume claim appears', async () => {
  await world.claim('runs');
  await world.pretrain('demo');
  const refused = await world.until('demo', 'Accepted', 'False');
  assert.equal(refused.message, `no PersistentVolumeClaim "data" in namespace "${world.namespace}"`);
  await world.claim('data');
  await world.until('demo', 'PodsReady', 'True');
});

test('stops the workers of a suspended run and continues with a free attempt', async () => {
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  await world.patch('demo', { suspend: true });
  await world.until('demo', 'Suspended', 'True');
  await eventually(async () => assert.deepEqual([await world.jobs(), await world.pods()], [[], []]));
  await world.patch('demo', { suspend: false });
  await eventually(async () => {
    const { status } = await world.run('demo');
    assert.deepEqual([status?.phase, status?.attempt, status?.restarts, status?.interruptions], ['Running', 2, 0, 1]);
  });
});

test('replaces a Job that somebody deleted by a free attempt and never runs two', async () => {
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  const [job] = await world.jobs();
  await remove(admin, JOBS, { namespace: world.namespace, name: 'demo-pretrain-1', uid: job?.metadata.uid ?? '' });
  await eventually(async () => assert.deepEqual((await world.run('demo')).status?.attempt, 2));
  await world.until('demo', 'PodsReady', 'True');
  assert.deepEqual([world.jobUids.size, world.mostLiveAttempts, unfinished(await world.jobs()).length], [2, 1, 1]);
});

test('puts back a Service that somebody deleted and repairs one that somebody edited', async () => {
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  const at = { namespace: world.namespace, name: 'demo-pretrain-1' };
  const first = await get(admin, SERVICES, at);
  await remove(admin, SERVICES, { ...at, uid: first?.metadata.uid ?? '' });
  const second = await eventually(async () => {
    const found = await get(admin, SERVICES, at);
    assert.ok(found !== undefined && found.metadata.uid !== first?.metadata.uid);
    return found;
  });
  await admin.request('PATCH', pathOf(SERVICES, at), { body: { spec: { selector: { 'polar.training/attempt': '9' } } }, contentType: 'application/merge-patch+json' });
  await eventually(async () => {
    const found = await get<KubeObject & { spec: { selector: Record<string, string> } }>(admin, SERVICES, at);
    assert.equal(found?.spec.selector['polar.training/attempt'], '1');
    assert.equal(found.metadata.uid, second.metadata.uid);
  });
});

test('names a foreign object in its way, leaves it alone, and goes on when it is gone', async () => {
  await world.claims();
  const foreign = await create<ConfigMap>(admin, CONFIG_MAPS, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'demo-pretrain-1', namespace: world.namespace }, data: { mine: 'yes' } });
  await world.pretrain('demo');
  const conflict = await world.until('demo', 'Accepted', 'False', { reason: 'NameConflict' });
  assert.match(conflict.message, /ConfigMap ".*\/demo-pretrain-1" already exists and has no controller/);
  assert.deepEqual((await get<ConfigMap>(admin, CONFIG_MAPS, { namespace: world.namespace, name: 'demo-pretrain-1' }))?.data, { mine: 'yes' });
  await remove(admin, CONFIG_MAPS, { namespace: world.namespace, name: 'demo-pretrain-1', uid: foreign.metadata.uid ?? '' });
  await world.until('demo', 'PodsReady', 'True');
});

test('says why pods are refused by a quota and starts when the quota allows them', async () => {
  await world.claims();
  const quota = { apiVersion: 'v1', kind: 'ResourceQuota', plural: 'resourcequotas', namespaced: true };
  const made = await create(admin, quota, { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'none', namespace: world.namespace }, spec: { hard: { pods: '0' } } } as KubeObject);
  await world.pretrain('demo');
  const stalled = await world.until('demo', 'Stalled', 'True');
  assert.equal(stalled.reason, 'PodCreationRefused');
  assert.match(stalled.message, /exceeded quota: none/);
  await remove(admin, quota, { namespace: world.namespace, name: 'none', uid: made.metadata.uid ?? '' });
  await world.until('demo', 'PodsReady', 'True');
});

test('fails a run whose image cannot be pulled when its start deadline has passed, and removes its Job', async () => {
  world.script = () => 'pending';
  await world.claims();
  await world.pretrain('demo', { recovery: { startDeadlineSeconds: 4 } });
  const pods = await eventually(async () => {
    const found = await world.pods();
    assert.equal(found.length, 2);
    return found;
  });
  await world.setPod(pods[0]?.metadata.name ?? '', { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "trainer:typo"' } });
  assert.match((await world.until('demo', 'Stalled', 'True', { reason: 'ImagePullFailed' })).message, /Back-off pulling image "trainer:typo"/);
  const failed = await world.until('demo', 'Failed', 'True');
  assert.match(failed.message, /did not all start within 4 seconds: ImagePullFailed: .*trainer:typo/);
  await eventually(async () => assert.deepEqual(await world.jobs(), []));
});

test('leaves nothing behind when a run is deleted, and a namesake starts from nothing', async () => {
  await world.claims();
  const first = await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  await remove(admin, RUN_RESOURCES.PolarPretrain, { namespace: world.namespace, name: 'demo', uid: first.metadata.uid });
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  const { status, metadata } = await world.run('demo');
  assert.deepEqual([status?.attempt, status?.interruptions], [1, 0]);
  for (const job of await world.jobs()) assert.equal(controllerOf(job)?.uid, metadata.uid);
});

test('needs no write once a run is at rest', async () => {
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  const before = (await world.run('demo')).metadata.resourceVersion;
  await operator?.stop();
  operator = startOperator(client);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal((await world.run('demo')).metadata.resourceVersion, before);
});

// A crash, a restart and completion take about this many writes; later deaths happen after the end and change nothing either.
for (let writes = 1; writes <= 16; writes++) {
  test(`ends the same when the operator is killed with its write number ${writes} done and not heard of`, async () => {
    await operator?.stop();
    const died = new Promise<void>((resolve) => {
      operator = startOperator(mortal(client, writes, resolve));
    });
    world.script = (attempt, index) => (attempt === 1 ? (index === 1 ? { code: 1 } : undefined) : { code: 0, message: 'done' });
    await world.claims();
    await world.pretrain('demo');
    await Promise.race([died, world.until('demo', 'Complete', 'True')]);
    await operator?.stop();
    operator = startOperator(client);
    await world.until('demo', 'Complete', 'True');
    const { status } = await world.run('demo');
    assert.deepEqual([status?.phase, status?.attempt, status?.restarts, status?.interruptions, status?.job], ['Complete', 2, 1, 0, 'demo-pretrain-2']);
    assert.deepEqual([world.jobUids.size, world.mostLiveAttempts], [2, 1], 'two Jobs were ever made, one at a time');
    assert.deepEqual((await world.jobs()).map((job) => job.metadata.name), ['demo-pretrain-1', 'demo-pretrain-2']);
  });
}
