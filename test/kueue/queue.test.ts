// Runs in queues of the real Kueue, on a real API server with the real Job controller; there is no kubelet, the tests play it.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyFiles, kubectl } from '../../local/src/apply.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { remove } from '../../operator/src/runtime/verbs.ts';
import { startCluster } from '../integration/cluster.ts';
import type { TestCluster } from '../integration/cluster.ts';
import { PODS, eventually, operatorClient } from '../integration/runWorld.ts';
import type { Operator } from '../integration/runWorld.ts';
import { admissionCheckCases } from './cases/admissionChecks.ts';
import { startKueue } from './kueue.ts';
import type { Kueue } from './kueue.ts';
import { QueueWorld, startQueueOperator } from './queueWorld.ts';

const NOT_READY_FOR_20_S = { waitForPodsReady: { timeout: '20s', blockAdmission: false, requeuingStrategy: { timestamp: 'Eviction', backoffBaseSeconds: 1 } } };

let cluster: TestCluster;
let admin: KubeClient;
let client: KubeClient;
let kueue: Kueue | undefined;
let operator: Operator;
let world: QueueWorld;

before(async () => {
  cluster = await startCluster({ crds: true, controllers: true });
  admin = await clientFor(cluster.adminConfig);
  await applyFiles(cluster.kubeconfigPath, [join(repositoryRoot, 'local/manifests/operator.yaml')]);
  client = await operatorClient(cluster, admin);
  operator = startQueueOperator(client);
});

beforeEach(async () => {
  world = new QueueWorld(admin, await cluster.namespace('q'));
});

afterEach(async () => {
  await world.stop();
});

after(async () => {
  await operator.stop();
  await kueue?.stop();
  await Promise.all([client.close(), admin.close()]);
  await cluster.stop();
});

test('says that Kueue is not installed, and starts the run once it is, without a restart of the operator', async () => {
  await world.claims();
  await world.queued('early');
  await world.pretrain('unqueued');
  const said = await world.until('early', 'Admitted', 'False', { reason: 'KueueNotInstalled' });
  assert.match(said.message, /install Kueue/);
  await world.until('unqueued', 'PodsReady', 'True');
  assert.equal(await world.job('early', 1), undefined);

  kueue = await startKueue(cluster, admin, { config: NOT_READY_FOR_20_S });
  for (const claim of ['data', 'runs']) await world.removeClaim(claim);
  await world.queue({ any: { cpu: 2 } });
  await world.until('early', 'PodsReady', 'True');
});

test('creates no Job before Kueue admits the run, and then with the labels and tolerations of its flavor', async () => {
  await world.queue({ a100: { cpu: 2, labels: { 'example.com/gpu': 'a100' }, tolerations: [{ key: 'spot', operator: 'Exists', effect: 'NoSchedule' }] } });
  await world.patchClusterQueue({ stopPolicy: 'Hold' });
  await world.queued('demo');
  await eventually(async () => assert.ok(await world.workload('demo')));
  await world.until('demo', 'Admitted', 'False', { reason: 'WaitingForQuota' });
  assert.deepEqual(await world.jobs(), []);

  await world.patchClusterQueue({ stopPolicy: 'None' });
  const spec = await world.podSpec('demo', 1);
  assert.deepEqual(spec['nodeSelector'], { 'example.com/gpu': 'a100' });
  assert.deepEqual(spec['tolerations'], [{ key: 'spot', operator: 'Exists', effect: 'NoSchedule' }]);
  const { message } = await world.until('demo', 'Admitted', 'True', { reason: 'QuotaReserved' });
  assert.equal(message, `admitted by ClusterQueue "${world.namespace}"`);
  const { status } = await world.run('demo');
  assert.deepEqual([status?.workload, status?.clusterQueue], ['demo-pretrain', world.namespace]);
  await eventually(async () => assert.ok(await world.since('demo', 'PodsReady'), 'Kueue is told that the pods are ready'));
});

test('tells in the words of Kueue what a run waits for, and starts it when another completes', async () => {
  await world.queue({ any: { cpu: 2 } });
  await world.queued('first');
  await world.until('first', 'PodsReady', 'True');
  await world.queued('second');
  await eventually(async () => assert.match((await world.until('second', 'Admitted', 'False', { reason: 'WaitingForQuota' })).message, /insufficient unused quota/));
  assert.equal((await world.run('second')).status?.phase, 'Pending');

  world.exits.set('first/1', 0);
  await world.until('first', 'Complete', 'True');
  await world.until('second', 'PodsReady', 'True');
  await eventually(async () => assert.equal(await world.reserved(), 2));
  const record = (await world.workload('first'))?.status?.['conditions'] as { type: string; reason: string }[];
  assert.equal(record.find(({ type }) => type === 'Finished')?.reason, 'Succeeded');
});

test('saves before it gives the quota to a more important run, waits, and goes on where it stopped', async () => {
  await world.queue({ any: { cpu: 2 } });
  const priorityClassName = await world.priority('urgent', 1000);
  world.obedient = false;
  await world.queued('patient');
  await world.until('patient', 'PodsReady', 'True');
  await world.queued('urgent', { queue: { priorityClassName } });

  const { message } = await world.until('patient', 'Admitted', 'False', { reason: 'Evicted' });
  assert.match(message, /Preempted/);
  await eventually(async () => assert.equal((await world.run('patient')).status?.stopRequest?.reason, 'Evicted'));
  await world.until('patient', 'Progressing', 'True', { reason: 'Saving' });
  assert.ok(await world.since('patient', 'QuotaReserved'), 'the quota is kept while workers save');
  assert.equal(await world.job('urgent', 1), undefined);

  world.obedient = true;
  await world.until('urgent', 'PodsReady', 'True');
  await world.until('patient', 'Admitted', 'False', { reason: 'WaitingForQuota' });
  assert.equal(await world.since('patient', 'QuotaReserved'), undefined);
  world.exits.set('urgent/1', 0);
  await world.until('urgent', 'Complete', 'True');
  await world.until('patient', 'PodsReady', 'True');
  const { status } = await world.run('patient');
  assert.deepEqual([status?.attempt, status?.restarts, status?.interruptions], [2, 0, 1]);
});

test('removes evicted workers that do not save in time', async () => {
  await world.queue({ any: { cpu: 2 } });
  const priorityClassName = await world.priority('urgent', 1000);
  world.obedient = false;
  await world.queued('stubborn', { queue: { evictionGraceSeconds: 1 } });
  await world.until('stubborn', 'PodsReady', 'True');
  await world.queued('urgent', { queue: { priorityClassName } });
  await world.until('urgent', 'PodsReady', 'True');
  assert.equal((await world.run('stubborn')).status?.attempt, 1);
});

test('keeps its quota over a restart, and the next attempt has what its flavor says by then', async () => {
  await world.queue({ any: { cpu: 2, labels: { 'example.com/pool': 'old' } } });
  await world.queued('crashing');
  await world.until('crashing', 'PodsReady', 'True');
  assert.deepEqual((await world.podSpec('crashing', 1))['nodeSelector'], { 'example.com/pool': 'old' });
  const [uid, admitted] = [(await world.workload('crashing'))?.metadata.uid, await world.since('crashing', 'Admitted')];
  await world.queued('next');
  await world.patchFlavor('any', { nodeLabels: { 'example.com/pool': 'new' } });

  world.exits.set('crashing/1', 1);
  assert.deepEqual((await world.podSpec('crashing', 2))['nodeSelector'], { 'example.com/pool': 'new' });
  await world.until('crashing', 'PodsReady', 'True');
  assert.equal((await world.workload('crashing'))?.metadata.uid, uid);
  assert.equal(await world.since('crashing', 'Admitted'), admitted);
  assert.equal(await world.job('next', 1), undefined);
});

test('asks for quota anew when the next attempt needs more than was admitted', async () => {
  await world.queue({ any: { cpu: 3 } });
  await world.queued('growing');
  await world.until('growing', 'PodsReady', 'True');
  await world.patch('growing', { workers: { replicas: 3 } });
  world.exits.set('growing/1', 1);
  await world.podSpec('growing', 2);
  await eventually(async () => assert.equal(await world.reserved(), 3));
});

test('moves to the flavor it is admitted to after an eviction', async () => {
  await world.queue({ spot: { cpu: 2, labels: { 'example.com/pool': 'spot' } }, owned: { cpu: 2, labels: { 'example.com/pool': 'owned' } } });
  await world.queued('mover');
  await world.until('mover', 'PodsReady', 'True');
  assert.deepEqual((await world.podSpec('mover', 1))['nodeSelector'], { 'example.com/pool': 'spot' });
  const quotas = [{ name: world.name('owned'), resources: [{ name: 'cpu', nominalQuota: 2 }] }];
  await world.patchClusterQueue({ stopPolicy: 'HoldAndDrain' });
  await world.until('mover', 'Admitted', 'False', { reason: 'WaitingForQuota' });
  await world.patchClusterQueue({ stopPolicy: 'None', resourceGroups: [{ coveredResources: ['cpu'], flavors: quotas }] });
  assert.deepEqual((await world.podSpec('mover', 2))['nodeSelector'], { 'example.com/pool': 'owned' });
});

test('frees its quota while it is suspended, and asks for it again afterwards', async () => {
  await world.queue({ any: { cpu: 2 } });
  await world.queued('paused');
  await world.until('paused', 'PodsReady', 'True');
  await world.queued('next');
  await world.patch('paused', { suspend: true });
  await world.until('next', 'PodsReady', 'True');
  assert.deepEqual(await world.workloads(), ['next-pretrain']);
  await world.patch('paused', { suspend: false });
  await world.until('paused', 'Admitted', 'False', { reason: 'WaitingForQuota' });
  world.exits.set('next/1', 0);
  await world.until('paused', 'PodsReady', 'True');
});

test('frees its quota when it fails for good', async () => {
  await world.queue({ any: { cpu: 2 } });
  await world.queued('broken');
  await world.until('broken', 'PodsReady', 'True');
  world.exits.set('broken/1', 10);
  await world.until('broken', 'Failed', 'True');
  await eventually(async () => assert.equal(await world.reserved(), 0));
  const record = (await world.workload('broken'))?.status?.['conditions'] as { type: string; reason: string }[];
  assert.equal(record.find(({ type }) => type === 'Finished')?.reason, 'Failed');
});

test('leaves no Workload and no quota behind when it is deleted', async () => {
  await world.queue({ any: { cpu: 2 } });
  const { metadata: { uid } } = await world.queued('gone');
  await world.until('gone', 'PodsReady', 'True');
  await remove(admin, RUN_RESOURCES.PolarPretrain, { namespace: world.namespace, name: 'gone', uid });
  await eventually(async () => assert.deepEqual([await world.workloads(), await world.reserved()], [[], 0]));
});

test('waits while somebody has set its Workload aside, and goes on when it is put back', async () => {
  await world.queue({ any: { cpu: 2 } });
  await world.queued('aside');
  await world.until('aside', 'PodsReady', 'True');
  await world.patchWorkload('aside', { active: false });
  await eventually(async () => assert.match((await world.until('aside', 'Admitted', 'False', { reason: 'WaitingForQuota' })).message, /spec.active false/));
  await world.patchWorkload('aside', { active: true });
  await world.podSpec('aside', 2);
});

test('saves, and asks anew, when somebody deletes its Workload', async () => {
  await world.queue({ any: { cpu: 2 } });
  await world.queued('robbed');
  await world.until('robbed', 'PodsReady', 'True');
  const { name, uid = '' } = (await world.workload('robbed'))?.metadata ?? { name: '' };
  await remove(admin, { apiVersion: 'kueue.x-k8s.io/v1beta2', kind: 'Workload', plural: 'workloads', namespaced: true }, { namespace: world.namespace, name, uid });
  await world.podSpec('robbed', 2);
  assert.notEqual((await world.workload('robbed'))?.metadata.uid, uid);
});

test('is put back into the queue when its workers do not start, as waitForPodsReady of Kueue wants it', async () => {
  await world.queue({ any: { cpu: 2 } });
  world.stuck.add('slow');
  await world.queued('slow');
  await world.podSpec('slow', 1);
  await world.until('slow', 'Admitted', 'False');
  world.stuck.clear();
  await world.podSpec('slow', 2);
  await world.until('slow', 'PodsReady', 'True');
});

test('says which priority class is missing', async () => {
  await world.queue({ any: { cpu: 2 } });
  await world.queued('vip', { queue: { priorityClassName: world.name('vip') } });
  await eventually(async () => assert.match((await world.until('vip', 'Admitted', 'False', { reason: 'WaitingForQuota' })).message, /no WorkloadPriorityClass ".*-vip"/));
});

test('starts workers in the one rack that Kueue has chosen', async () => {
  const topologyName = await world.racks(['rack-a', 'rack-b']);
  await world.queue({ racks: { cpu: 4, labels: { 'example.com/pool': world.namespace }, topologyName } });
  await world.queued('close', { workers: { topology: { mode: 'required', level: 'example.com/rack' } } });
  await world.until('close', 'PodsReady', 'True');
  const { items } = await admin.request<{ items: { spec: { nodeSelector: Record<string, string> } }[] }>('GET', `/api/v1/namespaces/${world.namespace}/${PODS.plural}`);
  const hosts = new Set(items.map(({ spec }) => spec.nodeSelector['kubernetes.io/hostname']));
  assert.equal(items.length, 2);
  assert.equal(hosts.size, 1, `both workers fit into one rack of one node, not ${[...hosts].join(', ')}`);
});

admissionCheckCases(() => world);

test('runs the two of the example one after the other, the more important first', async () => {
  await Promise.all(['polar-data', 'polar-runs'].map((name) => world.claim(name)));
  const files = ['kueue/queue.yaml', '09-queue.yaml'].flatMap((file) => ['-f', join(repositoryRoot, 'examples', file)]);
  await kubectl(cluster.kubeconfigPath, ['-n', world.namespace, 'apply', ...files]);
  await world.until('urgent', 'PodsReady', 'True');
  world.exits.set('urgent/1', 0);
  await world.until('urgent', 'Complete', 'True');
  await world.until('patient', 'PodsReady', 'True');
});

test('waits with its Job where Kueue takes every Job for its own, and says so', async () => {
  await world.queue({ any: { cpu: 2 } });
  await world.localQueue('default');
  await world.patchClusterQueue({ stopPolicy: 'Hold' });
  await world.pretrain('caught', { workers: { replicas: 2, resources: { requests: { cpu: '1' } } }, recovery: { startDeadlineSeconds: 5 } });
  const { message } = await world.until('caught', 'Admitted', 'False', { reason: 'WaitingForQuota' });
  assert.equal(message, 'Job "caught-pretrain-1" is suspended and waits in queue "default" of Kueue');
  await sleep(6000);
  await world.until('caught', 'Failed', 'False');
  await world.patchClusterQueue({ stopPolicy: 'None' });
  await world.until('caught', 'PodsReady', 'True');
  await world.until('caught', 'Admitted', 'True');
});

test('waits only once where Kueue manages every Job but knows whose Jobs are the operator\'s', async () => {
  await kueue?.stop();
  const integrations = { frameworks: ['batch/job', 'pod'], externalFrameworks: ['PolarPretrain.v1alpha1.polar.training', 'PolarFinetune.v1alpha1.polar.training'] };
  kueue = await startKueue(cluster, admin, { config: { ...NOT_READY_FOR_20_S, integrations, manageJobsWithoutQueueName: true } });
  await world.queue({ any: { cpu: 2 } });
  await world.localQueue('default');
  await world.queued('known');
  await world.until('known', 'PodsReady', 'True');
  await eventually(async () => assert.equal(await world.reserved(), 2));
  assert.deepEqual(await world.workloads(), ['known-pretrain']);
});
