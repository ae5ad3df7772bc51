import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { describe, readParts, writePartFile, type PartFacts } from './part.ts';
import type { Row } from './rows.ts';

const folder = mkdtempSync(join(tmpdir(), 'polar-part-'));
after(() => { rmSync(folder, { recursive: true }); });

const FACTS: PartFacts = { version: 1, corpus: 'c', shard: 0, part: 0, split: 'train', rows: 3000, prefixes: { from: 0, to: 1000 }, settled: '', complete: true, journals: [0], policies: {}, spent: { tokens: 0, money: '0.00' }, firstAnswer: '', lastAnswer: '' };
const FILE = 'train/shard-000000-0.parquet';

// eslint-disable-next-line @typescript-eslint/require-await
async function* rows(count = 3000): AsyncGenerator<Row> {
  for (let i = 0; i < count; i += 1) {
    yield { prompt: `p ${String(i)}`, promptId: String(i), policy: 'a', output: randomBytes(400).toString('base64'), wrapper: 'sft', split: 'train', prefix: i, sample: 0, finishReason: 'stop', truncated: 'none', cut: 0, tokensIn: 1, tokensOut: 1, endpointModel: null, seed: 1, time: new Date(0), messages: undefined, source: null };
  }
}

test('a part that another process has written stays as it is', async () => {
  const output = join(folder, 'twice');
  assert.equal(await writePartFile(output, FILE, FACTS, rows()), true);
  const was = readFileSync(join(output, FILE));
  assert.equal(await writePartFile(output, FILE, FACTS, rows()), false);
  assert.deepEqual(readFileSync(join(output, FILE)), was);
  assert.deepEqual(readdirSync(join(output, 'train')), ['shard-000000-0.parquet']);
});

test('rows that cannot be read leave no file', async () => {
  const output = join(folder, 'broken');
  async function* broken(): AsyncGenerator<Row> {
    yield* rows(10);
    throw new Error('journal gone');
  }
  await assert.rejects(writePartFile(output, FILE, FACTS, broken()), /journal gone/);
  assert.deepEqual(readdirSync(join(output, 'train')), []);
});

test('a volume that is full in the middle of a shard leaves no file and says so', () => {
  const output = join(folder, 'full');
  const program = join(folder, 'write.ts');
  writeFileSync(program, `import { writePartFile } from ${JSON.stringify(join(import.meta.dirname, 'part.ts'))};
import { randomBytes } from 'node:crypto';
async function* rows() { for (let i = 0; i < 9000; i += 1) yield { prompt: 'p', promptId: 'p', policy: 'a', output: randomBytes(400).toString('base64'), wrapper: 'sft', split: 'train', prefix: i, sample: 0, finishReason: 'stop', truncated: 'none', cut: 0, tokensIn: 1, tokensOut: 1, endpointModel: null, seed: 1, time: new Date(0), messages: undefined, source: null }; }
await writePartFile(${JSON.stringify(output)}, ${JSON.stringify(FILE)}, ${JSON.stringify(FACTS)}, rows()).catch((error) => { console.log(error.constructor.name, error.message); });`);
  const limit = 'import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (2000000, 2000000)); os.execvp(sys.argv[1], sys.argv[1:])';
  const { stdout, stderr } = spawnSync('python3', ['-c', limit, process.execPath, program], { encoding: 'utf8' });
  assert.match(stdout, /^StorageFullError .*shard-000000-0\.parquet: no room left to write \(EFBIG\)/, stderr);
  assert.deepEqual(readdirSync(join(output, 'train')), []);
});

test('a part without a manifest gets one from its footer; a foreign or changed one is refused', async () => {
  const output = join(folder, 'footer');
  await writePartFile(output, FILE, FACTS, rows(10));
  const manifest = await describe(output, FILE);
  assert.deepEqual({ ...manifest, file: 0, bytes: 0, sha256: 0 }, { ...FACTS, file: 0, bytes: 0, sha256: 0 });
  const block = { number: 0, split: 'train', from: 0, to: 1000 } as const;
  assert.equal((await readParts(output, 'c', block)).length, 1);
  await assert.rejects(readParts(output, 'd', block), /expected a shard of the corpus d, got one of c/);
  writeFileSync(join(output, FILE), 'short');
  await assert.rejects(readParts(output, 'c', block), /expected \d+ bytes as .* says, got 5/);
  rmSync(join(output, 'manifests'), { recursive: true });
  await assert.rejects(readParts(output, 'c', block), /not a shard that this program wrote/);
});
