// Runs that start from another run's checkpoint, against a real API server and Job controller; the tests play the kubelet.
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
import { get, remove } from '../../operator/src/runtime/verbs.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { CONFIG_MAPS, RunWorld, operatorClient, startOperator } from './runWorld.ts';
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
  world = new RunWorld(admin, await cluster.namespace('source'));
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

test('starts a fine-tune from the best checkpoint once its pre-train is complete', async () => {
  world.script = () => ({ code: 0 });
  await world.claims();
  await world.finetune('ft', 'demo');
  assert.equal((await world.until('ft', 'Accepted', 'False', { kind: 'PolarFinetune' })).reason, 'PretrainNotFound');
  await world.pretrain('demo');
  await world.until('demo', 'Complete', 'True');
  assert.equal((await world.until('ft', 'Accepted', 'False', { kind: 'PolarFinetune', reason: 'WaitingForCheckpoint' })).reason, 'WaitingForCheckpoint');
  const best = { step: 450, uri: 'pvc://runs/best/step-00000450', manifestSha256: 'a'.repeat(64) };
  await world.reportCheckpoints('demo', { best });
  await world.until('ft', 'Complete', 'True', { kind: 'PolarFinetune' });
  const configMap = await get<ConfigMap>(admin, CONFIG_MAPS, { namespace: world.namespace, name: 'ft-finetune-1' });
  assert.deepEqual(runConfig.parse(JSON.parse(configMap?.data?.['run.json'] ?? '')).model.init, { path: '/mnt/polar/init/best/step-00000450', manifestSha256: 'a'.repeat(64) });
  assert.deepEqual((await world.run('demo')).status?.checkpoints?.best, best, 'the operator leaves what ingest owns alone');
});

test('starts a cooldown from the step it names once its trunk is complete, and says which steps there are', async () => {
  world.script = () => ({ code: 0 });
  await world.claims();
  await world.pretrain('late', { model: {}, resumeFrom: { pretrainRef: { name: 'trunk' }, step: 100 } });
  await world.pretrain('cooldown', { model: {}, resumeFrom: { pretrainRef: { name: 'trunk' }, step: 400 } });
  assert.match((await world.until('cooldown', 'Accepted', 'False', { reason: 'PretrainNotFound' })).message, /spec\.resumeFrom\.pretrainRef\.name: no PolarPretrain "trunk"/);
  await world.pretrain('trunk');
  await world.until('trunk', 'Complete', 'True');
  const at = (step: number): object => ({ step, uri: `pvc://runs/trunk/step-00000${step}`, manifestSha256: 'a'.repeat(64) });
  await world.reportCheckpoints('trunk', { latest: at(500), history: [at(500), at(400)] });
  await world.until('cooldown', 'Complete', 'True');
  const configMap = await get<ConfigMap>(admin, CONFIG_MAPS, { namespace: world.namespace, name: 'cooldown-pretrain-1' });
  const { model, resumeFrom } = runConfig.parse(JSON.parse(configMap?.data?.['run.json'] ?? ''));
  assert.deepEqual([resumeFrom, model], [{ path: '/mnt/polar/resume/trunk/step-00000400', manifestSha256: 'a'.repeat(64) }, { dropout: '0' }]);
  assert.deepEqual((await world.run('cooldown')).status?.startedFrom, at(400));
  assert.match((await world.until('late', 'Accepted', 'False', { reason: 'CheckpointNotFound' })).message, /no checkpoint at step 100, only at 500, 400/);
});

test('starts no fine-tune while the last checkpoint of its pre-train is on its way to the status', async () => {
  world.script = () => ({ code: 0, said: { latest: { step: 500 } } });
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'Complete', 'True');
  const at = (step: number): object => ({ step, uri: `pvc://runs/demo/step-00000${step}`, manifestSha256: 'a'.repeat(64) });
  await world.reportCheckpoints('demo', { latest: at(400), best: at(400) });
  await world.finetune('ft', 'demo');
  const waits = await world.until('ft', 'Accepted', 'False', { kind: 'PolarFinetune' });
  assert.equal(waits.message, 'PolarPretrain "demo" is complete but its last checkpoint is not in its status yet');
  await world.reportCheckpoints('demo', { latest: at(500), best: at(450) });
  await world.until('ft', 'Complete', 'True', { kind: 'PolarFinetune' });
  assert.deepEqual((await world.run('ft', 'PolarFinetune')).status?.startedFrom, at(450));
});

test('starts a fine-tune when the missing volume of its pre-train appears', async () => {
  world.script = () => ({ code: 0 });
  for (const name of ['data', 'runs', 'weights']) await world.claim(name);
  await world.pretrain('demo', { checkpoint: { store: { pvc: 'weights' } } });
  await world.until('demo', 'Complete', 'True');
  const latest = { step: 500, uri: 'pvc://weights/demo/step-00000500' };
  await world.reportCheckpoints('demo', { latest });
  await world.removeClaim('weights');
  await world.finetune('ft', 'demo');
  await world.until('ft', 'Accepted', 'False', { kind: 'PolarFinetune', reason: 'VolumeNotFound' });
  await world.claim('weights');
  await world.until('ft', 'Complete', 'True', { kind: 'PolarFinetune' });
});

test('keeps the checkpoint a fine-tune started from when its pre-train is deleted and made anew', async () => {
  world.script = () => ({ code: 0 });
  await world.claims();
  await world.pretrain('demo');
  await world.until('demo', 'Complete', 'True');
  const best = { step: 450, uri: 'pvc://runs/best/step-00000450', manifestSha256: 'a'.repeat(64) };
  const { metadata } = await world.run('demo');
  await world.reportCheckpoints('demo', { best });
  let isCrashing = false;
  world.script = (attempt) => (attempt === 1 ? (isCrashing ? { code: 1 } : undefined) : { code: 0 });
  await world.finetune('ft', 'demo');
  await world.until('ft', 'PodsReady', 'True', { kind: 'PolarFinetune' });
  await remove(admin, RUN_RESOURCES.PolarPretrain, { namespace: world.namespace, name: 'demo', uid: metadata.uid });
  await world.pretrain('demo', { suspend: true });
  isCrashing = true;
  await world.until('ft', 'Complete', 'True', { kind: 'PolarFinetune' });
  const { status } = await world.run('ft', 'PolarFinetune');
  assert.deepEqual([status?.attempt, status?.startedFrom], [2, best]);
  const configMap = await get<ConfigMap>(admin, CONFIG_MAPS, { namespace: world.namespace, name: 'ft-finetune-2' });
  assert.equal(runConfig.parse(JSON.parse(configMap?.data?.['run.json'] ?? '')).model.init?.path, '/mnt/polar/init/best/step-00000450');
});
