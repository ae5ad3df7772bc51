// The generate worker killed at any moment and started again: every request has exactly one row in the end.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEndpoint, type Endpoint } from './generateEndpoint.ts';
import { aConfig, freshPath, identities, manifestsOf, rowsOf, runWorker, startWorker, type ConfigInput } from './generateWorld.ts';

const KILLS = Number(process.env['KILLS'] ?? 15);
const MODELS = ['a', 'b', 'c', 'd'];

let endpoint: Endpoint;
let whole: ConfigInput;
let want: string[];
before(async () => {
  // Answers are not in order, so that a kill meets shards in every state.
  endpoint = await startEndpoint({ delayMs: ({ seed = 0 }) => 2 + (seed % 23) });
  whole = aConfig(endpoint.url, MODELS, { lines: 600, shardPrefixes: 25, heldOut: { promptPercent: 10, policies: [] } });
  const { end, stderr } = await runWorker(whole);
  assert.equal(end?.reason, 'complete', stderr);
  want = identities(await rowsOf(whole.output));
  assert.equal(want.length, 1800);
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

/** Ends the worker at a random moment: while it starts, or while it works. False when it was done before. */
async function killOnce(config: ConfigInput, worker = 0): Promise<boolean> {
  const { child, ended } = startWorker(config, worker);
  const kill = (): void => { child.kill('SIGKILL'); };
  if (randomInt(4) === 0) setTimeout(kill, randomInt(50, 800));
  else child.stdout?.once('data', () => setTimeout(kill, randomInt(0, 120)));
  return (await ended).code !== 0;
}

async function killOften(config: ConfigInput, most: number, worker = 0): Promise<number> {
  let kills = 0;
  while (kills < most && (await killOnce(config, worker))) kills += 1;
  return kills;
}

test('killed at random moments, the corpus is that of an undisturbed run', { timeout: 400_000 }, async (t) => {
  const config = { ...whole, output: freshPath('killed') };
  const before = endpoint.asked.length;
  const kills = await killOften(config, KILLS);
  assert.ok(kills > 2);
  await settle(config);
  await assertWhole(config);
  const extra = endpoint.asked.length - before - want.length;
  t.diagnostic(`${String(kills)} kills, ${String(extra)} of ${String(want.length)} requests asked again`);
  assert.ok(extra >= 0 && extra <= kills * 16, `${String(extra)} requests again after ${String(kills)} kills of 16 in flight`);
});

test('three workers killed at random moments make one corpus', { timeout: 400_000 }, async (t) => {
  const config = { ...whole, output: freshPath('workers'), workers: 3 };
  const kills = await Promise.all([0, 1, 2].map((worker) => killOften(config, Math.ceil(KILLS / 3), worker)));
  await Promise.all([0, 1, 2].map((worker) => settle(config, worker)));
  await assertWhole(config);
  t.diagnostic(`${kills.join(' + ')} kills`);
});

test('two processes that are the same worker do not count a request twice', { timeout: 200_000 }, async () => {
  const config = { ...whole, output: freshPath('twice') };
  await Promise.all([runWorker(config), sleep(700).then(() => runWorker(config))]);
  await settle(config);
  assert.deepEqual(identities(await rowsOf(config.output)), want);
});

test('kills do not make it pass its budget', { timeout: 200_000 }, async () => {
  const config = { ...whole, output: freshPath('budget'), budget: { tokens: 40_000 } };
  const before = endpoint.asked.length;
  for (let kill = 0; kill < Math.ceil(KILLS / 2); kill += 1) {
    const { child, ended } = startWorker(config);
    child.stdout?.once('data', () => setTimeout(() => { child.kill('SIGKILL'); }, randomInt(20, 300)));
    if ((await ended).code === 0) break;
  }
  const { end } = await runWorker(config);
  assert.equal(end?.reason, 'budget');
  assert.ok(end.spent.tokens <= 40_000);
  // Every request that came was answered with 40 tokens, whoever heard it.
  const charged = 40 * (endpoint.asked.length - before);
  assert.ok(charged <= end.spent.tokens, `${String(charged)} tokens charged, ${String(end.spent.tokens)} booked`);
  await settle({ ...config, budget: {} });
  await assertWhole(config);
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

