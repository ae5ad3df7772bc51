// A thousand points, and plans that depend on what was measured, against a real API server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { eventually } from './runWorld.ts';
import { PARAMETERS, pointOf, sweepStage } from './sweepWorld.ts';
import type { Child } from './sweepWorld.ts';

const stage = sweepStage('scale');
const LIMIT = 65_536;

/** A client that counts what is written. */
function counting(client: KubeClient, counts: Map<string, number>): KubeClient {
  return {
    request: (method, path, options) => {
      const what = `${method} ${path.endsWith('/status') ? 'status' : path.includes('/configmaps') ? 'configmaps' : path.includes('/polarpretrains') ? 'polarpretrains' : 'others'}`;
      counts.set(what, (counts.get(what) ?? 0) + 1);
      return client.request(method, path, options);
    },
    watch: (path, query, signal) => client.watch(path, query, signal),
    close: () => Promise.resolve(),
  };
}

test('finishes a thousand points with small objects, few writes and a bounded time for each', async () => {
  const counts = new Map<string, number>();
  await stage.restart(counting(stage.client, counts));
  stage.world.script = (child) => ({ loss: 0.4 + pointOf(child).seed / 1000 });
  const sizes = ['300K', '1M', '3M', '10M', '30M'].map((size) => ({ size }));
  const startedAt = Date.now();
  await stage.world.sweep('thousand', { axes: { sizes, tokens: ['1M', '2M', '4M', '8M'], seeds: Array.from({ length: 50 }, (_, seed) => seed) }, parallelism: 100, fit: { forms: ['power'] } });
  await eventually(async () => assert.equal((await stage.world.read('thousand')).status?.done, '1000/1000'), 400_000);
  await stage.world.until('thousand', 'Complete', 'True');
  await stage.world.until('thousand', 'Fitted', 'True');
  const seconds = (Date.now() - startedAt) / 1000;
  const [sweep, shards] = [await stage.world.read('thousand'), await stage.world.shards()];
  const sizesOf = [sweep, ...shards].map((object) => JSON.stringify(object).length);
  assert.ok(sizesOf.every((bytes) => bytes < LIMIT), String(sizesOf));
  assert.equal((await stage.world.points()).length, 1000);
  assert.equal(stage.world.seen.size, 1000);
  assert.ok((counts.get('PATCH status') ?? 0) < 1000, JSON.stringify([...counts]));
  console.log(`1,000 points in ${seconds.toFixed(0)} s; ${shards.length} ConfigMaps of at most ${Math.max(...sizesOf)} bytes; ${JSON.stringify([...counts])}`);
});

test('plans for a target, stops when its interval is narrow, and leaves the other points alone', async () => {
  const law = ({ size, tokens = 1 }: { size: string; tokens?: number }): number => 0.2 + 3 * (PARAMETERS[size] ?? 1) ** -0.25 + 8 * tokens ** -0.25;
  const scatter = ({ metadata: { name } }: Child): number => 1 + 0.004 * Math.sin([...name].reduce((sum, letter) => 31 * sum % 1009 + letter.charCodeAt(0), 7));
  stage.world.script = (child) => ({ loss: law(pointOf(child)) * scatter(child) });
  const sizes = ['300K', '1M', '3M', '10M'].map((size) => ({ size }));
  await stage.world.sweep('planned', {
    axes: { sizes, tokens: ['1M', '2M', '4M', '8M', '16M'] }, strategy: 'planned', parallelism: 2, precisionPercent: 5, budget: { flops: '1e18' },
    targets: [{ name: 'next', parameters: '30M', tokens: '32M' }], fit: { forms: ['joint'], bootstrap: 100 },
  });
  const { reason, message } = await eventually(() => stage.world.until('planned', 'Complete', 'True'), 120_000);
  await stage.world.until('planned', 'Fitted', 'True');
  const { status } = await stage.world.read('planned');
  assert.equal(reason, 'PrecisionReached', message);
  assert.ok((status?.points?.succeeded ?? 20) < 20, JSON.stringify(status?.points));
  const prediction = Number(status?.prediction?.find(({ name }) => name === 'next')?.loss);
  assert.ok(Math.abs(prediction / law({ size: '30M', tokens: 32e6 }) - 1) < 0.05, JSON.stringify([status?.points, status?.prediction]));
});

test('stops learning rates that cannot be the best, and says why', async () => {
  const losses: Readonly<Record<string, number>> = { '0.1': 0.9, '0.03': 0.8, '0.01': 0.5, '0.003': 0.52, '0.001': 0.6 };
  await stage.world.sweep('halving', { axes: { sizes: [{ size: '300K' }], steps: [100], learningRates: Object.keys(losses) }, earlyStopping: { keepPercent: 40, atPercent: [50] }, parallelism: 5 });
  const children = await eventually(async () => {
    const all = await stage.world.children();
    assert.equal(all.filter(({ status }) => status?.startTime !== undefined).length, 5);
    return all;
  });
  for (const child of children) {
    const loss = losses[pointOf(child).learningRate] ?? 1;
    const curve = [10, 20, 30, 40, 50].map((step) => ({ step, tokens: step * 100, valLoss: String(loss + (50 - step) / 1000) }));
    await stage.world.report(child, { progress: { stage: 'Training', step: 50, totalSteps: 100, tokens: 5000, parameters: 300_000, parametersWithoutEmbedding: 299_520, valLoss: String(loss) }, curve });
  }
  // Never the best nor its neighbours, of which the optimum is read.
  await eventually(async () => assert.deepEqual((await stage.world.points()).filter(({ outcome }) => outcome === 'Stopped').map(({ point }) => point.learningRate).sort(), ['0.001', '0.1']));
  stage.world.script = (child) => ({ loss: losses[pointOf(child).learningRate] ?? 1 });
  await stage.world.until('halving', 'Complete', 'True');
  const { status } = await stage.world.read('halving');
  assert.deepEqual([status?.points?.stopped, status?.points?.succeeded], [2, 3]);
});
