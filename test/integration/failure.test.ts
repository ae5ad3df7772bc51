// What becomes of attempts that fail, fall silent or do not start, on a real API server. The tests play kubelet, trainer and ingest.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import type { RunStatus } from '../../operator/src/api/status.ts';
import type { Settings } from '../../operator/src/run/observed.ts';
import type { ConfigMap, Job } from '../../operator/src/run/objects.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import { create, get, remove } from '../../operator/src/runtime/verbs.ts';
import { CONFIG_MAPS, JOBS, PODS, eventually, runStage } from './runWorld.ts';

const since = (secondsAgo: number): Settings => ({
  trainerImage: 'trainer:test',
  telemetry: { address: 'polar-ingest.polar-system.svc:9443', ca: 'CA', intervalSeconds: 2, since: new Date(Date.now() - secondsAgo * 1000).toISOString() },
});
const stage = runStage('failure', { settings: since(0) });
const QUOTAS = { apiVersion: 'v1', kind: 'ResourceQuota', plural: 'resourcequotas', namespaced: true };

const statusOf = async (name = 'demo'): Promise<RunStatus> => (await stage.world.run(name)).status ?? {};
const stalled = (status: RunStatus): string | undefined => status.conditions?.find(({ type }) => type === 'Stalled')?.reason;
const heard = (attempt: number, at: number, seq: number): Promise<void> =>
  stage.world.report('demo', { progress: { attempt, seq, stage: 'Training', step: 10, lastReportTime: new Date(at).toISOString() } });

test('goes back before the newest checkpoint once after a loss that is not finite, and fails with the batch the second time', async () => {
  const { world } = stage;
  let rows = 'rows 8130-8133';
  let isBad = false;
  world.script = (_attempt, index) => (isBad && index === 0 ? { code: 13, message: `loss is NaN at step 212, ${rows}` } : undefined);
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  const latest = { step: 200, uri: 'pvc://runs/x/step-00000200', completedTime: new Date().toISOString() };
  await world.reportCheckpoints('demo', { latest });
  isBad = true;
  await eventually(async () => assert.equal((await statusOf()).attempt, 2));
  isBad = false;
  await world.until('demo', 'PodsReady', 'True');
  const configMap = await get<ConfigMap>(stage.admin, CONFIG_MAPS, { namespace: world.namespace, name: 'demo-pretrain-2' });
  assert.equal((JSON.parse(configMap?.data?.['run.json'] ?? '{}') as { resumeBeforeStep?: number }).resumeBeforeStep, 200);
  const { restarts, restartsByReason, lastFailure } = await statusOf();
  assert.deepEqual([restarts, restartsByReason, lastFailure?.reason], [1, [{ reason: 'NonFiniteLoss', count: 1 }], 'NonFiniteLoss']);
  [rows, isBad] = ['rows 9000-9003', true];
  const failed = await world.until('demo', 'Failed', 'True', { reason: 'NonFiniteLoss' });
  assert.match(failed.message, /attempt 2, which had gone back .*rows 9000-9003/);
});

test('wishes later attempts away from a node on which two have failed', async () => {
  const { world } = stage;
  const bound = new Set<string>();
  world.script = (attempt) => (bound.has(String(attempt)) && attempt < 3 ? { code: attempt === 1 ? 1 : 17 } : attempt < 3 ? 'pending' : undefined);
  await world.claims();
  await world.pretrain('demo', { workers: { replicas: 1 } });
  for (const attempt of [1, 2]) {
    const [pod] = await eventually(async () => {
      const found = (await world.pods()).filter((one) => one.metadata.labels?.['polar.training/attempt'] === String(attempt));
      assert.equal(found.length, 1);
      return found;
    });
    const target = { apiVersion: 'v1', kind: 'Node', name: 'node-b' };
    await stage.admin.request('POST', pathOf(PODS, { namespace: world.namespace, name: pod?.metadata.name, subresource: 'binding' }), { body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: pod?.metadata.name }, target } });
    bound.add(String(attempt));
    await eventually(async () => assert.equal((await statusOf()).attempt, attempt + 1));
  }
  const { failedNodes, lastFailure } = await statusOf();
  assert.deepEqual([failedNodes, lastFailure?.node, lastFailure?.reason], [[{ name: 'node-b', failures: 2 }], 'node-b', 'ReplicasDiffer']);
  const job = await eventually(async () => {
    const found = await get<Job & { spec: { template: { spec: { affinity?: object } } } }>(stage.admin, JOBS, { namespace: world.namespace, name: 'demo-pretrain-3' });
    assert.ok(found !== undefined);
    return found;
  });
  const matchFields = [{ key: 'metadata.name', operator: 'NotIn', values: ['node-b'] }];
  assert.deepEqual(job.spec.template.spec.affinity, { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: { matchFields } }] } });
  await world.until('demo', 'PodsReady', 'True');
});

test('replaces an attempt that fell silent and charges it, but not a slow one that reports', async () => {
  const { world } = stage;
  await world.claims();
  await world.pretrain('demo', { recovery: { silenceTimeoutSeconds: 4, saveTimeoutSeconds: 1 } });
  await world.until('demo', 'PodsReady', 'True');
  for (let seq = 1; seq <= 8; seq++) {
    await heard(1, Date.now(), seq);
    await sleep(1000);
  }
  const slow = await statusOf();
  assert.deepEqual([slow.attempt, slow.stopRequest], [1, undefined], 'the same step for twice the time to be silent');
  await eventually(async () => assert.equal((await statusOf()).stopRequest?.reason, 'Silent'), 10_000);
  await eventually(async () => assert.equal((await statusOf()).attempt, 2));
  const { restarts, interruptions, restartsByReason, lastFailure } = await statusOf();
  assert.deepEqual([restarts, interruptions, restartsByReason, lastFailure?.reason], [1, 0, [{ reason: 'Silent', count: 1 }], 'Silent']);
  assert.equal(world.mostLiveAttempts, 1);
});

test('says that reports are missing long before, does not take it back when it restarts, and writes nothing meanwhile', async () => {
  const { world } = stage;
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  await heard(1, Date.now(), 1);
  const later = (): number => Date.now() + 800_000;
  await stage.restart({ now: later });
  assert.match((await world.until('demo', 'Stalled', 'True', { reason: 'NoReports' })).message, /no report of the trainer since .*replaced when that lasts 3600 seconds/);
  const before = (await world.run('demo')).metadata.resourceVersion;
  await stage.restart({ now: later, settings: since(-790) });
  await sleep(1500);
  assert.equal((await world.run('demo')).metadata.resourceVersion, before, 'written while nothing changed');
  await heard(1, later(), 2);
  await world.until('demo', 'Stalled', 'False');
  assert.equal((await statusOf()).attempt, 1);
});

test('spares an attempt of which nothing was heard because the operator was away', async () => {
  const { world } = stage;
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'PodsReady', 'True');
  await heard(1, Date.now(), 1);
  await stage.restart({ now: () => Date.now() + 7_200_000, settings: since(-7_190) });
  await sleep(1500);
  const status = await statusOf();
  assert.deepEqual([status.attempt, status.stopRequest, stalled(status)], [1, undefined, 'NotStalled']);
});

test('says which node is missing and until when it waits, and fails with that', async () => {
  const { world } = stage;
  world.script = () => 'pending';
  await world.claims();
  await world.pretrain('demo', { recovery: { startDeadlineSeconds: 4 } });
  const job = await eventually(async () => {
    const [found] = await world.jobs();
    assert.ok(found !== undefined);
    return found;
  });
  const until = new Date(Date.parse(job.metadata.creationTimestamp ?? '') + 4000).toISOString().replace('.000Z', 'Z');
  const { message } = await world.until('demo', 'Stalled', 'True', { reason: 'Unschedulable' });
  assert.ok(message.endsWith(`; gives up at ${until}`), message);
  assert.match((await world.until('demo', 'Failed', 'True', { reason: 'StartDeadlineExceeded' })).message, /within 4 seconds: Unschedulable: worker 0/);
});

test('fails a run whose Job is refused for as long as a start may take, and says so from the first refusal', async () => {
  const { world } = stage;
  await world.claims();
  const none = await create(stage.admin, QUOTAS, { apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'none', namespace: world.namespace }, spec: { hard: { 'count/jobs.batch': '0' } } } as KubeObject);
  await world.pretrain('demo', { recovery: { startDeadlineSeconds: 3 } });
  await world.pretrain('patient');
  assert.match((await world.until('demo', 'Stalled', 'True', { reason: 'PodCreationRefused' })).message, /exceeded quota: none.*; gives up at 20/);
  const failed = await world.until('demo', 'Failed', 'True', { reason: 'StartDeadlineExceeded' });
  assert.match(failed.message, /could not be created for 3 seconds: PodCreationRefused: .*exceeded quota: none/);
  await remove(stage.admin, QUOTAS, { namespace: world.namespace, name: 'none', uid: none.metadata.uid ?? '' });
  await world.until('patient', 'PodsReady', 'True');
});

test('counts an attempt whose failed Job somebody deletes as the crash it was', async () => {
  const { world } = stage;
  world.script = (attempt) => (attempt === 1 ? { code: 1, message: 'boom' } : undefined);
  await world.claims();
  await world.pretrain('demo', { suspend: false, recovery: { maxRestarts: 0 } });
  await world.until('demo', 'Failed', 'True', { reason: 'MaxRestartsExceeded' });
  const [job] = await world.jobs();
  await remove(stage.admin, JOBS, { namespace: world.namespace, name: 'demo-pretrain-1', uid: job?.metadata.uid ?? '' });
  await eventually(async () => assert.deepEqual(await world.jobs(), []));
  await world.patch('demo', { recovery: { maxRestarts: 3 } });
  await eventually(async () => assert.equal((await statusOf()).attempt, 2));
  const { restarts, interruptions, restartsByReason } = await statusOf();
  assert.deepEqual([restarts, interruptions, restartsByReason], [1, 0, [{ reason: 'Crashed', count: 1 }]]);
});
