// Runs that start from another run's checkpoint, against a real API server and Job controller; the tests play the kubelet.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runConfig } from '../../operator/src/api/runConfig.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import type { ConfigMap } from '../../operator/src/run/objects.ts';
import { get, remove } from '../../operator/src/runtime/verbs.ts';
import { CONFIG_MAPS, runStage } from './runWorld.ts';

const stage = runStage('source');

test('starts a fine-tune from the best checkpoint once its pre-train is complete', async () => {
  stage.world.script = () => ({ code: 0 });
  await stage.world.claims();
  await stage.world.finetune('ft', 'demo');
  assert.equal((await stage.world.until('ft', 'Accepted', 'False', { kind: 'PolarFinetune' })).reason, 'PretrainNotFound');
  await stage.world.pretrain('demo');
  await stage.world.until('demo', 'Complete', 'True');
  assert.equal((await stage.world.until('ft', 'Accepted', 'False', { kind: 'PolarFinetune', reason: 'WaitingForCheckpoint' })).reason, 'WaitingForCheckpoint');
  const best = { step: 450, uri: 'pvc://runs/best/step-00000450', manifestSha256: 'a'.repeat(64) };
  await stage.world.reportCheckpoints('demo', { best });
  await stage.world.until('ft', 'Complete', 'True', { kind: 'PolarFinetune' });
  const configMap = await get<ConfigMap>(stage.admin, CONFIG_MAPS, { namespace: stage.world.namespace, name: 'ft-finetune-1' });
  assert.deepEqual(runConfig.parse(JSON.parse(configMap?.data?.['run.json'] ?? '')).model.init, { path: '/mnt/polar/init/best/step-00000450', manifestSha256: 'a'.repeat(64) });
  assert.deepEqual((await stage.world.run('demo')).status?.checkpoints?.best, best, 'the operator leaves what ingest owns alone');
});

test('starts a cooldown from the step it names once its trunk is complete, and says which steps there are', async () => {
  stage.world.script = () => ({ code: 0 });
  await stage.world.claims();
  await stage.world.pretrain('late', { model: {}, resumeFrom: { pretrainRef: { name: 'trunk' }, step: 100 } });
  await stage.world.pretrain('cooldown', { model: {}, resumeFrom: { pretrainRef: { name: 'trunk' }, step: 400 } });
  assert.match((await stage.world.until('cooldown', 'Accepted', 'False', { reason: 'PretrainNotFound' })).message, /spec\.resumeFrom\.pretrainRef\.name: no PolarPretrain "trunk"/);
  await stage.world.pretrain('trunk');
  await stage.world.until('trunk', 'Complete', 'True');
  const at = (step: number): object => ({ step, uri: `pvc://runs/trunk/step-00000${step}`, manifestSha256: 'a'.repeat(64) });
  await stage.world.reportCheckpoints('trunk', { latest: at(500), history: [at(500), at(400)] });
  await stage.world.until('cooldown', 'Complete', 'True');
  const configMap = await get<ConfigMap>(stage.admin, CONFIG_MAPS, { namespace: stage.world.namespace, name: 'cooldown-pretrain-1' });
  const { model, resumeFrom } = runConfig.parse(JSON.parse(configMap?.data?.['run.json'] ?? ''));
  assert.deepEqual([resumeFrom, model], [{ path: '/mnt/polar/resume/trunk/step-00000400', manifestSha256: 'a'.repeat(64) }, { dropout: '0' }]);
  assert.deepEqual((await stage.world.run('cooldown')).status?.startedFrom, at(400));
  assert.match((await stage.world.until('late', 'Accepted', 'False', { reason: 'CheckpointNotFound' })).message, /no checkpoint at step 100, only at 500, 400/);
});

test('starts no fine-tune while the last checkpoint of its pre-train is on its way to the status', async () => {
  stage.world.script = () => ({ code: 0, said: { latest: { step: 500 } } });
  await stage.world.claims();
  await stage.world.pretrain('demo');
  await stage.world.until('demo', 'Complete', 'True');
  const at = (step: number): object => ({ step, uri: `pvc://runs/demo/step-00000${step}`, manifestSha256: 'a'.repeat(64) });
  await stage.world.reportCheckpoints('demo', { latest: at(400), best: at(400) });
  await stage.world.finetune('ft', 'demo');
  const waits = await stage.world.until('ft', 'Accepted', 'False', { kind: 'PolarFinetune' });
  assert.equal(waits.message, 'PolarPretrain "demo" is complete but its last checkpoint is not in its status yet');
  await stage.world.reportCheckpoints('demo', { latest: at(500), best: at(450) });
  await stage.world.until('ft', 'Complete', 'True', { kind: 'PolarFinetune' });
  assert.deepEqual((await stage.world.run('ft', 'PolarFinetune')).status?.startedFrom, at(450));
});

test('starts a fine-tune when the missing volume of its pre-train appears', async () => {
  stage.world.script = () => ({ code: 0 });
  for (const name of ['data', 'runs', 'weights']) await stage.world.claim(name);
  await stage.world.pretrain('demo', { checkpoint: { store: { pvc: 'weights' } } });
  await stage.world.until('demo', 'Complete', 'True');
  const latest = { step: 500, uri: 'pvc://weights/demo/step-00000500' };
  await stage.world.reportCheckpoints('demo', { latest });
  await stage.world.removeClaim('weights');
  await stage.world.finetune('ft', 'demo');
  await stage.world.until('ft', 'Accepted', 'False', { kind: 'PolarFinetune', reason: 'VolumeNotFound' });
  await stage.world.claim('weights');
  await stage.world.until('ft', 'Complete', 'True', { kind: 'PolarFinetune' });
});

test('keeps the checkpoint a fine-tune started from when its pre-train is deleted and made anew', async () => {
  stage.world.script = () => ({ code: 0 });
  await stage.world.claims();
  await stage.world.pretrain('demo');
  await stage.world.until('demo', 'Complete', 'True');
  const best = { step: 450, uri: 'pvc://runs/best/step-00000450', manifestSha256: 'a'.repeat(64) };
  const { metadata } = await stage.world.run('demo');
  await stage.world.reportCheckpoints('demo', { best });
  let isCrashing = false;
  stage.world.script = (attempt) => (attempt === 1 ? (isCrashing ? { code: 1 } : undefined) : { code: 0 });
  await stage.world.finetune('ft', 'demo');
  await stage.world.until('ft', 'PodsReady', 'True', { kind: 'PolarFinetune' });
  await remove(stage.admin, RUN_RESOURCES.PolarPretrain, { namespace: stage.world.namespace, name: 'demo', uid: metadata.uid });
  await stage.world.pretrain('demo', { suspend: true });
  isCrashing = true;
  await stage.world.until('ft', 'Complete', 'True', { kind: 'PolarFinetune' });
  const { status } = await stage.world.run('ft', 'PolarFinetune');
  assert.deepEqual([status?.attempt, status?.startedFrom], [2, best]);
  const configMap = await get<ConfigMap>(stage.admin, CONFIG_MAPS, { namespace: stage.world.namespace, name: 'ft-finetune-2' });
  assert.equal(runConfig.parse(JSON.parse(configMap?.data?.['run.json'] ?? '')).model.init?.path, '/mnt/polar/init/best/step-00000450');
});
