// Sweeps against a real API server and garbage collector; a script plays the runs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SweepStatus } from '../../operator/src/api/sweepStatus.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { controllerOf } from '../../operator/src/runtime/object.ts';
import { create } from '../../operator/src/runtime/verbs.ts';
import { eventually } from './runWorld.ts';
import { PARAMETERS, pointOf, sweepStage } from './sweepWorld.ts';
import type { Child } from './sweepWorld.ts';

const stage = sweepStage('sweep');

const FOUR = { axes: { sizes: [{ size: '1M' }, { size: '300K' }], steps: [20, 10], seeds: [0] } };
const succeeds = (child: Child): { loss: number } => ({ loss: 0.5 + child.metadata.name.length / 1000 });

test('trains every point, two at a time, the smallest first, and keeps what each measured', async () => {
  stage.world.script = succeeds;
  const sweep = await stage.world.sweep('demo', { ...FOUR, parallelism: 2 });
  const end = await stage.world.until('demo', 'Complete', 'True');
  assert.equal(end.reason, 'AllPointsDone');
  const { status } = await stage.world.read('demo');
  assert.deepEqual([status?.phase, status?.done, status?.points], ['Complete', '4/4', { total: 4, waiting: 0, running: 0, succeeded: 4, failed: 0, stopped: 0 }]);
  assert.ok(stage.world.mostRunning <= 2, String(stage.world.mostRunning));
  const children = await stage.world.children();
  assert.equal(children.length, 4);
  for (const child of children) assert.equal(controllerOf(child)?.uid, sweep.metadata.uid);
  const records = await stage.world.points();
  assert.deepEqual(records.map(({ outcome }) => outcome), ['Succeeded', 'Succeeded', 'Succeeded', 'Succeeded']);
  assert.deepEqual(records.map(({ curve, valPairs }) => [curve.length, valPairs]), Array.from({ length: 4 }, () => [10, 500]));
});

test('tries a failed point again and then records it as failed, without touching the others', async () => {
  stage.world.script = (child) => (child.spec.model.size === '300K' && child.spec.budget.steps === 10 ? { failure: 'pool/a.jsonl:17: no' } : { loss: 0.5 });
  await stage.world.sweep('demo', { ...FOUR, parallelism: 4, maxRetries: 2 });
  await stage.world.until('demo', 'Complete', 'True');
  const { status: { points, runs, failures } = {} } = await stage.world.read('demo');
  assert.deepEqual([points?.succeeded, points?.failed, runs], [3, 1, { active: 0, started: 6, retries: 2 }]);
  assert.match(JSON.stringify(failures), /pool\/a.jsonl:17.*"run":"demo-[0-9a-f]{10}-r2"/);
});

test('names a foreign object in its way and starts the other points', async () => {
  const first = await stage.world.sweep('demo', { axes: { sizes: [{ size: '300K' }], steps: [10] } });
  const [child] = await eventually(async () => {
    const all = await stage.world.children();
    assert.equal(all.length, 1);
    return all;
  });
  assert.ok(child);
  await stage.restart(null);
  await stage.admin.request('DELETE', `/apis/polar.training/v1alpha1/namespaces/${stage.world.namespace}/polarsweeps/demo`);
  await eventually(async () => assert.equal((await stage.world.children()).length, 0));
  await create(stage.admin, RUN_RESOURCES.PolarPretrain, { ...child, metadata: { name: child.metadata.name, namespace: stage.world.namespace } } as unknown as Child);
  stage.world.script = (one) => (one.metadata.name === child.metadata.name ? undefined : { loss: 0.5 });
  await stage.restart();
  const second = await stage.world.sweep('demo', { axes: { sizes: [{ size: '300K' }], steps: [10, 20] }, parallelism: 2 });
  assert.notEqual(first.metadata.uid, second.metadata.uid);
  const taken = await stage.world.until('demo', 'Accepted', 'False', 'NameTaken');
  assert.match(taken.message, new RegExp(`${child.metadata.name}" already exists and has no controller`));
  await eventually(async () => assert.equal((await stage.world.read('demo')).status?.points?.succeeded, 1));
  await stage.admin.request('DELETE', `/apis/polar.training/v1alpha1/namespaces/${stage.world.namespace}/polarpretrains/${child.metadata.name}`);
  stage.world.script = succeeds;
  await stage.world.until('demo', 'Complete', 'True');
});

test('fits the law of its points and predicts, the same after a restart half-way', async () => {
  const sizes = ['300K', '1M', '3M', '10M', '30M'].map((size) => ({ size }));
  const law = (child: Child): { loss: number } => ({ loss: 2 * (PARAMETERS[pointOf(child).size] ?? 0) ** -0.1 * (pointOf(child).size === '3M' ? 1.01 : 1) });
  const spec = { axes: { sizes, tokens: ['1M'] }, targets: [{ name: 'big', parameters: '7B', tokens: '1M' }, { loss: '0.3' }], fit: { bootstrap: 50 }, parallelism: 2 };
  const statusOf = async (name: string): Promise<SweepStatus> => (await stage.world.read(name)).status ?? {};
  const whenFitted = async (name: string): Promise<SweepStatus> => {
    await stage.world.until(name, 'Complete', 'True');
    await stage.world.until(name, 'Fitted', 'True');
    return statusOf(name);
  };
  stage.world.script = law;
  await stage.world.sweep('whole', spec);
  const whole = await whenFitted('whole');
  stage.world.script = (child) => (pointOf(child).size === '300K' ? law(child) : undefined);
  await stage.world.sweep('broken', spec);
  await eventually(async () => assert.equal((await statusOf('broken')).points?.succeeded, 1));
  await stage.restart();
  stage.world.script = law;
  const broken = await whenFitted('broken');
  assert.deepEqual([broken.fits, broken.prediction], [whole.fits, whole.prediction]);
  assert.deepEqual(whole.fits?.map(({ form, x }) => [form, x]), [['power', 'parameters'], ['power', 'flops']]);
  assert.ok(Math.abs(Number(whole.summary?.exponent) + 0.1) < 0.005, JSON.stringify(whole.fits));
  const [{ loss, lower, upper } = {}] = whole.prediction ?? [];
  assert.ok(Math.abs(Number(loss) - 2 * 7e9 ** -0.1) < 0.01 && Number(lower) < Number(upper), JSON.stringify(whole.prediction));
});

test('trains several budgets from one trunk with a constant rate', async () => {
  stage.world.script = succeeds;
  await stage.world.sweep('demo', { axes: { sizes: [{ size: '300K' }], steps: [100, 50, 200] }, cooldowns: { percent: 20 }, parallelism: 3 });
  await stage.world.until('demo', 'Complete', 'True');
  const children = await stage.world.children();
  const trunk = children.find(({ spec }) => spec.optimizer['schedule'] === 'constant');
  assert.deepEqual([trunk?.spec.budget, (trunk?.spec['checkpoint'] as { keepSteps?: number[] }).keepSteps], [{ steps: 160 }, [40, 80, 160]]);
  const branches = children.filter(({ spec }) => spec['resumeFrom'] !== undefined);
  assert.deepEqual(branches.map(({ spec }) => [spec.budget.steps, spec['resumeFrom'], spec.optimizer['schedule'], spec.optimizer['cooldownPercent']]).sort((a, b) => Number(a[0]) - Number(b[0])), [
    [50, { pretrainRef: { name: trunk?.metadata.name }, step: 40 }, 'wsd', 20], [100, { pretrainRef: { name: trunk?.metadata.name }, step: 80 }, 'wsd', 20], [200, { pretrainRef: { name: trunk?.metadata.name }, step: 160 }, 'wsd', 20],
  ]);
  assert.equal((await stage.world.points()).length, 3);
  // 160 steps of the trunk and 10 + 20 + 40 of the cooldowns, instead of 350.
  const { status } = await stage.world.read('demo');
  const perStep = 6 * 299_520 * 64 * 100;
  assert.ok(Math.abs(Number(status?.spent?.flops) / perStep - 230) < 25, String(Number(status?.spent?.flops) / perStep));
});

test('stops the points of a removed value, keeps what others measured, and takes it back when it returns', async () => {
  stage.world.script = (child) => (child.spec.budget.steps === 20 ? undefined : { loss: 0.5 });
  await stage.world.sweep('demo', { axes: { sizes: [{ size: '300K' }], steps: [10, 20, 30] }, parallelism: 3 });
  await eventually(async () => assert.equal((await stage.world.read('demo')).status?.points?.succeeded, 2));
  await stage.world.patch('demo', { axes: { steps: [10] } });
  await stage.world.until('demo', 'Complete', 'True');
  await eventually(async () => assert.deepEqual((await stage.world.children()).map(({ spec }) => spec.budget.steps).sort(), [10, 30]));
  assert.deepEqual((await stage.world.read('demo')).status?.points?.total, 1);
  stage.world.script = succeeds;
  const before = stage.world.seen.size;
  await stage.world.patch('demo', { axes: { steps: [10, 20, 30] } });
  await stage.world.until('demo', 'Complete', 'True', 'AllPointsDone');
  await eventually(async () => assert.equal((await stage.world.read('demo')).status?.points?.succeeded, 3));
  assert.equal(stage.world.seen.size, before + 1);
});

test('suspends its runs, and lets them go on', async () => {
  await stage.world.sweep('demo', { ...FOUR, parallelism: 2 });
  await eventually(async () => assert.equal((await stage.world.children()).length, 2));
  await stage.world.patch('demo', { suspend: true });
  await stage.world.until('demo', 'Suspended', 'True');
  assert.deepEqual((await stage.world.children()).map(({ spec }) => spec.suspend), [true, true]);
  stage.world.script = succeeds;
  await stage.world.patch('demo', { suspend: false });
  await stage.world.until('demo', 'Complete', 'True');
  assert.equal((await stage.world.children()).length, 4);
});

test('loses nothing when runs are deleted at once after their end', async () => {
  stage.world.script = succeeds;
  await stage.world.sweep('demo', FOUR, { ttlSecondsAfterFinished: 0 });
  await stage.world.until('demo', 'Complete', 'True');
  await eventually(async () => assert.ok((await stage.world.children()).every(({ spec }) => spec.ttlSecondsAfterFinished === 0)));
  for (const { metadata: { name } } of await stage.world.children()) await stage.admin.request('DELETE', `/apis/polar.training/v1alpha1/namespaces/${stage.world.namespace}/polarpretrains/${name}`);
  await stage.restart();
  await stage.world.patch('demo', { parallelism: 3 });
  await eventually(async () => assert.equal((await stage.world.read('demo')).status?.observedGeneration, 2));
  const { status } = await stage.world.read('demo');
  assert.deepEqual([status?.done, status?.points?.succeeded, (await stage.world.children()).length], ['4/4', 4, 0]);
});

test('goes away with its runs and records', async () => {
  stage.world.script = succeeds;
  await stage.world.sweep('demo', FOUR);
  await eventually(async () => assert.equal((await stage.world.records()).length > 0, true));
  await stage.admin.request('DELETE', `/apis/polar.training/v1alpha1/namespaces/${stage.world.namespace}/polarsweeps/demo`, { body: { propagationPolicy: 'Foreground' } });
  await eventually(async () => assert.deepEqual([(await stage.world.children()).length, (await stage.world.shards()).length], [0, 0]));
});

test('starts no run that its FLOPs do not cover, and goes on when they are raised', async () => {
  stage.world.script = succeeds;
  const each = 6 * 299_520 * 1e6;
  await stage.world.sweep('demo', { axes: { sizes: [{ size: '300K' }], tokens: ['1M'], seeds: [0, 1, 2, 3] }, parallelism: 4, budget: { flops: String(Math.round(2.5 * each)) } });
  const end = await stage.world.until('demo', 'Complete', 'True', 'BudgetExhausted');
  assert.match(end.message, /2 are left, for which budget.flops is too small/);
  await stage.world.patch('demo', { budget: { flops: String(Math.round(4.5 * each)) } });
  await stage.world.until('demo', 'Complete', 'True', 'AllPointsDone');
});

test('stops running runs before their GPU-hours are spent', async () => {
  stage.world.trainedSeconds = 3600;
  await stage.world.sweep('demo', { axes: { sizes: [{ size: '300K' }], tokens: ['1M'], seeds: [0, 1] }, parallelism: 2, budget: { gpuHours: '1.1' } }, { recovery: { saveTimeoutSeconds: 600 } });
  const end = await stage.world.until('demo', 'Complete', 'True', 'BudgetExhausted');
  assert.match(end.message, /budget.gpuHours/);
  const { status } = await stage.world.read('demo');
  assert.ok(Number(status?.spent?.gpuHours) <= 1.1, status?.spent?.gpuHours);
  assert.deepEqual((await stage.world.children()).map(({ spec }) => spec.suspend), [true]);
});

test('tells the best learning rate of each size, and the law over sizes', async () => {
  const best = (size: string): number => 0.001 * ((PARAMETERS[size] ?? 0) / 1e6) ** -0.3;
  stage.world.script = ({ spec }) => ({ loss: 0.5 + 0.02 * Math.log(Number(spec.optimizer['learningRate']) / best(spec.model.size ?? '')) ** 2 });
  const axes = { sizes: ['300K', '1M', '3M'].map((size) => ({ size })), steps: [10], learningRates: ['0.0004', '0.0007', '0.001', '0.0014', '0.002'] };
  await stage.world.sweep('demo', { axes, parallelism: 15 });
  await stage.world.until('demo', 'Complete', 'True');
  await stage.world.until('demo', 'Fitted', 'True');
  const { status: { optima = [], hyperLaws: [law] = [] } = {} } = await stage.world.read('demo');
  assert.deepEqual(optima.map(({ of, size, runs, degree }) => [of, size, runs, degree]), ['300K', '1M', '3M'].map((size) => ['learningRate', size, 5, 4]));
  for (const { size = '', value } of optima) assert.ok(Math.abs(Number(value) / best(size) - 1) < 0.02, `${size}: ${value}`);
  assert.ok(Math.abs(Number(law?.coefficients?.[1]?.value) + 0.3) < 0.03, JSON.stringify(law));
});

test('says which field of a bad spec is wrong, and leaves other sweeps alone', async () => {
  stage.world.script = succeeds;
  await stage.world.sweep('bad', { axes: { sizes: [{ size: '300K' }], steps: [10], batchTriplets: [2] } }, { workers: { replicas: 4 }, optimizer: { batchTriplets: 8 } });
  await stage.world.sweep('good', FOUR);
  const { message } = await stage.world.until('bad', 'Accepted', 'False', 'SpecInvalid');
  assert.equal(message, 'spec.axes.batchTriplets[0]: expected at least 4 (template.workers.replicas * gpusPerWorker), got 2');
  await stage.world.until('good', 'Complete', 'True');
});
