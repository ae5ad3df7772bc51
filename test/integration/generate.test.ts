// The generate worker as a process, against endpoints on real sockets.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { repositoryRoot } from '../../local/src/paths.ts';
import { startEndpoint, type Endpoint } from './generateEndpoint.ts';
import { aConfig, freshPath, identities, manifestsOf, rowsOf, runWorker } from './generateWorld.ts';

let endpoint: Endpoint;
before(async () => { endpoint = await startEndpoint(); });
after(() => endpoint.close());

const PYTHON = join(repositoryRoot, 'trainer/.venv/bin/python');

test('a corpus has three rows for every prompt, in shards with true manifests', async () => {
  const config = aConfig(endpoint.url, ['a', 'b', 'c']);
  const { code, end, stderr } = await runWorker(config);
  assert.equal(code, 0, stderr);
  assert.equal(end?.reason, 'complete');
  const rows = await rowsOf(config.output);
  assert.equal(rows.length, 180);
  assert.equal(end?.rows, 180);
  assert.equal(end?.spent.tokens, 180 * 40);
  for (const { prompt, output, policy, seed } of rows) assert.ok(endpoint.asked.some((one) => one.prompt === prompt && one.model === policy && one.seed === Number(seed)), `${prompt} ${output}`);
  for (const { file, bytes, sha256, complete } of manifestsOf(config.output)) {
    assert.equal(complete, true);
    assert.equal(statSync(join(config.output, file)).size, bytes);
    assert.equal(createHash('sha256').update(readFileSync(join(config.output, file))).digest('hex'), sha256);
  }
  const manifest = JSON.parse(readFileSync(join(config.output, 'manifest.json'), 'utf8')) as { rows: number; shards: object };
  assert.equal(manifest.rows, 180);
  assert.deepEqual(manifest.shards, { all: 6, complete: 6 });
});

test('the trainer reads the shards as they are', async () => {
  const config = aConfig(endpoint.url, ['a', 'b', 'c'], { heldOut: { promptPercent: 20, policies: ['c'] } });
  await runWorker(config);
  const script = `import json, sys
from pathlib import Path
from polar.row_check import TRAJECTORIES, check
from polar.rows import Problems, list_files, read_rows
problems = Problems()
rows = [check(row, TRAJECTORIES, 1) for row in read_rows(list_files(Path(sys.argv[1])), TRAJECTORIES.columns, problems)]
problems.raise_if_any()
print(json.dumps([[row.prompt.decode(), row.prompt_id, row.policy, row.texts[0].decode(), row.wrapper] for row in rows]))`;
  const read = JSON.parse(execFileSync(PYTHON, ['-c', script, config.output], { cwd: join(repositoryRoot, 'trainer'), encoding: 'utf8' })) as unknown[];
  const rows = await rowsOf(config.output);
  assert.ok(rows.some(({ policy }) => policy === 'c'));
  assert.deepEqual(read.map((row) => JSON.stringify(row)).sort(), rows.map(({ prompt, prompt_id, policy, output }) => JSON.stringify([prompt, prompt_id, policy, output, 0])).sort());
});

test('held-out policies are in held-out shards only', async () => {
  const config = aConfig(endpoint.url, ['a', 'b', 'c', 'd'], { heldOut: { promptPercent: 25, policies: ['c', 'd'] } });
  await runWorker(config);
  const rows = await rowsOf(config.output);
  assert.equal(rows.length, 180);
  const held = rows.filter(({ policy }) => policy === 'c' || policy === 'd');
  assert.ok(held.length > 0 && held.every(({ split }) => split === 'held-out'));
  assert.equal(rows.filter(({ split }) => split === 'held-out').length, 45);
  for (const { file, split } of manifestsOf(config.output)) assert.ok(file.startsWith(`${split}/`));
});

test('instructions go to chat policies as messages and make rows of wrapper sft', async () => {
  const instructions = freshPath('instructions.jsonl');
  writeFileSync(instructions, Array.from({ length: 9 }, (_, i) => JSON.stringify({ prompt: i < 8 ? `Say ${String(i)}` : [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Ho' }, { role: 'user', content: 'So' }] })).join('\n'));
  const base = aConfig(endpoint.url, ['a', 'b']);
  const config = { ...base, prompts: { ...base.prompts, sources: [...base.prompts.sources, { path: instructions, kind: 'instructions' as const }] },
    policies: [...base.policies, ...['x', 'y'].map((name) => ({ name, url: endpoint.url, model: name, api: 'chat' as const, systemPrompt: 'Be brief.' }))] };
  const { end } = await runWorker(config);
  assert.equal(end?.reason, 'complete');
  const rows = await rowsOf(config.output);
  const chat = rows.filter(({ wrapper }) => wrapper === 'sft');
  assert.equal(chat.length, 27);
  assert.ok(chat.every(({ policy }) => policy === 'x' || policy === 'y') && rows.every(({ policy, wrapper }) => (policy === 'a' || policy === 'b') === (wrapper === 'pretrain')));
  const long = chat.find(({ messages }) => messages !== null);
  assert.equal(long?.prompt, 'Hi\nHo\nSo');
  const sent = endpoint.asked.find(({ messages }) => messages?.length === 4);
  assert.deepEqual(sent?.messages?.map(({ content }) => content), ['Be brief.', 'Hi', 'Ho', 'So']);
});

test('several workers make what one makes', async () => {
  const one = aConfig(endpoint.url, ['a', 'b', 'c'], { lines: 100 });
  const three = { ...one, output: freshPath('three'), workers: 3 };
  await runWorker(one);
  const ended = await Promise.all([0, 1, 2].map((worker) => runWorker(three, worker)));
  assert.deepEqual(ended.map(({ code }) => code), [0, 0, 0]);
  assert.deepEqual(identities(await rowsOf(three.output)), identities(await rowsOf(one.output)));
  const manifest = JSON.parse(readFileSync(join(three.output, 'manifest.json'), 'utf8')) as { rows: number };
  assert.equal(manifest.rows, 300);
});

test('neither tokens nor money pass the budget, and more budget goes on where it ended', async () => {
  const config = aConfig(endpoint.url, ['a', 'b'], { budget: { tokens: 4000, money: '1' } });
  config.policies = config.policies.map((one) => ({ ...one, promptPricePerMillion: '1', outputPricePerMillion: '100' }));
  const before = endpoint.asked.length;
  const first = await runWorker(config);
  assert.equal(first.end?.reason, 'budget');
  assert.ok(first.end.spent.tokens <= 4000 && first.end.spent.tokens > 3000, String(first.end.spent.tokens));
  const kept = identities(await rowsOf(config.output));
  assert.ok(kept.length > 0 && kept.length % 3 === 0);
  const byMoney = await runWorker({ ...config, budget: { money: '0.4' } });
  assert.equal(byMoney.end?.reason, 'budget');
  assert.ok(Number(byMoney.end.spent.money) <= 0.4 && Number(byMoney.end.spent.money) > 0.35, byMoney.end.spent.money);
  const last = await runWorker({ ...config, budget: {} });
  assert.equal(last.end?.reason, 'complete');
  const all = identities(await rowsOf(config.output));
  assert.equal(new Set(all).size, 180);
  assert.equal(all.length, 180);
  assert.ok(kept.every((row) => all.includes(row)));
  assert.equal(endpoint.asked.length - before, 180);
});

test('rate and concurrency of a policy are kept', async () => {
  const slow = await startEndpoint({ delayMs: () => 30 });
  const config = aConfig(slow.url, ['a', 'b'], { lines: 12 });
  config.policies = [{ name: 'a', url: slow.url, model: 'a', concurrency: 2 }, { name: 'b', url: slow.url, model: 'b', concurrency: 1, requestsPerSecond: '10' }];
  const t0 = performance.now();
  const { end } = await runWorker(config);
  const seconds = (performance.now() - t0) / 1000;
  assert.equal(end?.reason, 'complete');
  assert.ok(slow.mostOpen >= 2 && slow.mostOpen <= 3, String(slow.mostOpen));
  const toB = slow.asked.filter(({ model }) => model === 'b').length;
  assert.ok(seconds > (toB - 10) / 10, `${String(toB)} requests in ${seconds.toFixed(2)} s`);
  await slow.close();
});

test('a corpus of other settings is not mixed in, and the setting is named', async () => {
  const config = aConfig(endpoint.url, ['a', 'b']);
  await runWorker(config);
  for (const [other, message] of [[{ ...config, seed: 6 }, /seed: expected .* got 6/], [{ ...config, sampling: { maxTokens: 65 } }, /sampling: expected/], [{ ...config, policies: [...config.policies].reverse() }, /policies: expected/]] as const) {
    const { code, stderr } = await runWorker(other);
    assert.equal(code, 10);
    assert.match(stderr, message);
  }
  assert.equal((await runWorker({ ...config, policies: config.policies.map((one) => ({ ...one, concurrency: 1 })) })).code, 0);
});

test('a wrong configuration names its fields', async () => {
  const config = aConfig(endpoint.url, ['a', 'a'], { heldOut: { policies: ['z'] } });
  const { code, stderr } = await runWorker({ ...config, ...{ extra: 1 } });
  assert.equal(code, 10);
  assert.match(stderr, /Unrecognized key: \\"extra\\"/);
  const second = await runWorker(config);
  assert.match(second.stderr, /policies\.1\.name: expected a name of its own/);
  assert.match(second.stderr, /heldOut\.policies\.0: expected the name of a policy/);
});
