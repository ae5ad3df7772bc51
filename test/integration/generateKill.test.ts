// The generate worker killed at any moment and started again: every request has exactly one row in the end.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEndpoint, type Endpoint } from './generateEndpoint.ts';
import { aConfig, freshPath, identities, manifestsOf, rowsOf, runWorker, startWorker, type ConfigInput } from './generateWorld.ts';

const KILLS = Number(process.env['KILLS'] ?? 12);
const MODELS = ['a', 'b', 'c', 'd'];

let endpoint: Endpoint;
let whole: ConfigInput;
let want: string[];
before(async () => {
  // Answers are not in order, so that a kill meets shards in every state.
  endpoint = await startEndpoint({ delayMs: ({ seed = 0 }) => 2 + (seed % 23) });
  whole = aConfig(endpoint.url, MODELS, { lines: 400, shardPrefixes: 25, heldOut: { promptPercent: 10, policies: [] } });
  const { end, stderr } = await runWorker(whole);
  assert.equal(end?.reason, 'complete', stderr);
  want = identities(await rowsOf(whole.output));
  assert.equal(want.length, 1200);
});
after(() => endpoint.close());

async function settle(config: ConfigInput, worker = 0): Promise<void> {
  const { code, end, stderr } = await runWorker(config, worker);
  assert.equal(code, 0, stderr);
  assert.equal(end?.reason, 'complete');
}

/** Every request once, manifests true, and nothing left that a reader or the next start could take for data. */
async function assertWhole(config: ConfigInput): Promise<void> {
  assert.deepEqual(identities(await rowsOf(config.output)), want);
  assert.equal(manifestsOf(config.output).reduce((sum, { rows }) => sum + rows, 0), want.length);
  assert.deepEqual(readdirSync(join(config.output, 'journals')), []);
  for (const folder of ['train', 'held-out', 'manifests']) assert.deepEqual(readdirSync(join(config.output, folder)).filter((name) => name.includes('.tmp')), []);
}

test('killed at random moments, the corpus is that of an undisturbed run', { timeout: 400_000 }, async () => {
  const config = { ...whole, output: freshPath('killed') };
  const before = endpoint.asked.length;
  let kills = 0;
  for (; kills < KILLS; kills += 1) {
    const { child, ended } = startWorker(config);
    const timer = setTimeout(() => { child.kill('SIGKILL'); }, randomInt(250, 1800));
    const { code } = await ended;
    clearTimeout(timer);
    if (code === 0) break;
  }
  await settle(config);
  await assertWhole(config);
  const extra = endpoint.asked.length - before - want.length;
  assert.ok(extra >= 0 && extra <= kills * 16, `${String(extra)} requests again after ${String(kills)} kills of 16 in flight`);
});

test('three workers killed at random moments make one corpus', { timeout: 400_000 }, async () => {
  const config = { ...whole, output: freshPath('workers'), workers: 3 };
  await Promise.all([0, 1, 2].map(async (worker) => {
    for (let kill = 0; kill < Math.ceil(KILLS / 3); kill += 1) {
      const { child, ended } = startWorker(config, worker);
      const timer = setTimeout(() => { child.kill('SIGKILL'); }, randomInt(400, 2500));
      const { code } = await ended;
      clearTimeout(timer);
      if (code === 0) return;
    }
  }));
  await Promise.all([0, 1, 2].map((worker) => settle(config, worker)));
  await assertWhole(config);
});

test('two processes that are the same worker do not count a request twice', { timeout: 200_000 }, async () => {
  const config = { ...whole, output: freshPath('twice') };
  await Promise.all([runWorker(config), sleep(700).then(() => runWorker(config))]);
  await settle(config);
  assert.deepEqual(identities(await rowsOf(config.output)), want);
});

test('asked to stop it ends cleanly, and the next start asks for nothing again', { timeout: 200_000 }, async () => {
  const config = { ...whole, output: freshPath('stopped') };
  const before = endpoint.asked.length;
  let stops = 0;
  for (; stops < 4; stops += 1) {
    const { child, ended } = startWorker(config);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    await sleep(150);
    child.kill('SIGTERM');
    const { code, end, stderr } = await ended;
    if (code === 0) break;
    assert.equal(code, 143, stderr);
    if (end !== undefined) assert.equal(end.reason, 'stopped');
  }
  assert.ok(stops > 0);
  await settle(config);
  await assertWhole(config);
  assert.equal(endpoint.asked.length - before, want.length);
});

test('a shard whose manifest was not written yet gets it from its file, and lost ends of journals are asked again', { timeout: 200_000 }, async () => {
  const config = { ...whole, output: freshPath('torn') };
  const { child, ended } = startWorker(config);
  while (!existsSync(join(config.output, 'train')) && child.exitCode === null) await sleep(10);
  await sleep(100);
  child.kill('SIGKILL');
  await ended;
  for (const name of readdirSync(join(config.output, 'manifests')).slice(0, 1)) {
    const at = join(config.output, 'manifests', name);
    const was = readFileSync(at, 'utf8');
    rmSync(at);
    await startWorker({ ...config, budget: { tokens: 1 } }).ended;
    assert.equal(readFileSync(at, 'utf8'), was);
  }
  for (const name of readdirSync(join(config.output, 'journals'))) {
    const at = join(config.output, 'journals', name);
    truncateSync(at, Math.max(0, statSync(at).size - 300));
  }
  await settle(config);
  await assertWhole(config);
});

test('a finished shard that was changed is refused and named', { timeout: 100_000 }, async () => {
  const [first] = manifestsOf(whole.output);
  assert.ok(first !== undefined);
  const at = join(whole.output, first.file);
  const bytes = readFileSync(at);
  truncateSync(at, bytes.length - 1);
  const { code, stderr } = await runWorker(whole);
  assert.equal(code, 11);
  assert.ok(stderr.includes(first.file));
});

