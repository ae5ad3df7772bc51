// The short Jobs that look after the checkpoints of runs without workers, on a real API server; the tests play the kubelet.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { applyFiles } from '../../local/src/apply.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { ANNOTATION_VERIFY, FINALIZER } from '../../operator/src/api/labels.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import { get } from '../../operator/src/runtime/verbs.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { CONFIG_MAPS, JOBS, RunWorld, eventually, operatorClient, startOperator } from './runWorld.ts';
import type { Operator } from './runWorld.ts';

let cluster: TestCluster;
let admin: KubeClient;
let client: KubeClient;
let world: RunWorld;
let operator: Operator;

before(async () => {
  cluster = await startCluster({ crds: true, controllers: true });
  admin = await clientFor(cluster.adminConfig);
  await applyFiles(cluster.kubeconfigPath, [join(repositoryRoot, 'local/manifests/operator.yaml')]);
  client = await operatorClient(cluster, admin);
});

beforeEach(async () => {
  world = new RunWorld(admin, await cluster.namespace('registry'));
  operator = startOperator(client);
});

afterEach(async () => {
  await operator.stop();
  await world.stop();
});

after(async () => {
  await Promise.all([client.close(), admin.close()]);
  await cluster.stop();
});

const DELETE = { checkpoint: { store: { pvc: 'runs' }, deletionPolicy: 'Delete' } };

const pathTo = (name: string): string => pathOf(RUN_RESOURCES.PolarPretrain, { namespace: world.namespace, name });
const remove = (name: string): Promise<unknown> => admin.request('DELETE', pathTo(name), { body: { propagationPolicy: 'Background' } });
const stored = (name: string): ReturnType<typeof get> => get(admin, RUN_RESOURCES.PolarPretrain, { namespace: world.namespace, name });

function gone(name: string): Promise<void> {
  return eventually(async () => { assert.equal(await stored(name), undefined); });
}

/** A run that has completed and has reported these checkpoints, newest first. */
async function completed(name: string, spec: object, steps: readonly number[]): Promise<void> {
  world.script = () => ({ code: 0, message: 'trained' });
  await world.claims();
  await world.pretrain(name, spec);
  await world.until(name, 'Complete', 'True');
  const history = steps.map((step) => ({ step, uri: `pvc://runs/x/step-${String(step).padStart(8, '0')}`, valLoss: `0.${step}` }));
  await world.reportCheckpoints(name, { latest: history[0], best: history.at(-1), history });
}

test('deletes a run at once when its checkpoints are to stay', async () => {
  await completed('demo', {}, [500]);
  assert.equal((await stored('demo'))?.metadata.finalizers, undefined);
  await remove('demo');
  assert.equal(await stored('demo'), undefined);
});

test('stops the workers of a deleted run, has its checkpoints deleted by a Job and then lets it go', async () => {
  await world.claims();
  await world.pretrain('demo', DELETE);
  await world.until('demo', 'PodsReady', 'True');
  assert.deepEqual((await stored('demo'))?.metadata.finalizers, [FINALIZER]);
  await remove('demo');
  const name = await eventually(async () => {
    const job = (await world.jobs()).find((one) => one.metadata.name.includes('-registry-delete-'));
    assert.ok(job, 'no Job deletes the checkpoints yet');
    return job.metadata.name;
  });
  const workers = (await world.pods()).filter((pod) => !pod.metadata.name.startsWith(name) && pod.metadata.deletionTimestamp === undefined);
  assert.deepEqual(workers, []);
  assert.ok(await stored('demo'), 'the run was let go before its checkpoints were deleted');
  world.script = () => ({ code: 0, message: 'removed' });
  await gone('demo');
  await eventually(async () => { assert.equal(await get(admin, JOBS, { namespace: world.namespace, name }), undefined); });
});

test('lets go of a run whose policy was changed to Retain before it was deleted', async () => {
  await completed('demo', DELETE, [500]);
  await world.patch('demo', { checkpoint: { deletionPolicy: 'Retain' } });
  await eventually(async () => { assert.equal((await stored('demo'))?.metadata.finalizers, undefined); });
  await remove('demo');
  assert.equal(await stored('demo'), undefined);
});

test('keeps the finalizers of others', async () => {
  await completed('demo', {}, [500]);
  await admin.request('PATCH', pathTo('demo'), { body: { metadata: { finalizers: ['example.com/other'] } }, contentType: 'application/merge-patch+json' });
  await world.patch('demo', { checkpoint: { deletionPolicy: 'Delete' } });
  await eventually(async () => { assert.deepEqual((await stored('demo'))?.metadata.finalizers?.toSorted(), ['example.com/other', FINALIZER]); });
  await world.patch('demo', { checkpoint: { deletionPolicy: 'Retain' } });
  await eventually(async () => { assert.deepEqual((await stored('demo'))?.metadata.finalizers, ['example.com/other']); });
  await admin.request('PATCH', pathTo('demo'), { body: { metadata: { finalizers: null } }, contentType: 'application/merge-patch+json' });
});

test('has no more checkpoints kept than asked for, once', async () => {
  await completed('demo', {}, [500, 400, 300]);
  await world.patch('demo', { checkpoint: { keepLast: 1 } });
  const [record] = await eventually(async () => {
    const { status } = await world.run('demo');
    assert.equal(status?.registry?.length, 1);
    return status?.registry ?? [];
  });
  assert.deepEqual([record?.task, record?.outcome], ['gc', 'Succeeded']);
  const jobs = (await world.jobs()).filter(({ metadata: { name } }) => name.includes('-registry-gc-'));
  assert.equal(jobs.length, 1);
  await eventually(async () => { assert.equal(await get(admin, CONFIG_MAPS, { namespace: world.namespace, name: jobs[0]?.metadata.name ?? '' }), undefined); });
});

test('has checkpoints verified when an annotation asks for it', async () => {
  await completed('demo', {}, [500]);
  await admin.request('PATCH', pathTo('demo'), { body: { metadata: { annotations: { [ANNOTATION_VERIFY]: '1' } } }, contentType: 'application/merge-patch+json' });
  await eventually(async () => { assert.deepEqual((await world.run('demo')).status?.registry?.map(({ task, outcome }) => [task, outcome]), [['verify', 'Succeeded']]); });
});

test('does not hold up the deletion of a namespace', async () => {
  await world.claims();
  await world.pretrain('demo', DELETE);
  await world.until('demo', 'PodsReady', 'True');
  await admin.request('DELETE', `/api/v1/namespaces/${world.namespace}`);
  await gone('demo');
});
