import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { importConfig, importRows } from './import.ts';
import { readParquet } from './parquet.ts';

const folder = mkdtempSync(join(tmpdir(), 'polar-import-'));
after(() => { rmSync(folder, { recursive: true }); });

async function read(output: string): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[] = [];
  for (const name of readdirSync(join(output, 'train')).sort()) for await (const { value } of readParquet(join(output, 'train', name))) rows.push(value as Record<string, unknown>);
  return rows;
}

test('trajectories keep prompt, policy, output, ids and wrapper, and say where they came from', async () => {
  const path = join(folder, 't.jsonl.gz');
  const rows = Array.from({ length: 25 }, (_, i) => ({ prompt: i === 3 ? [{ role: 'system', content: 'S' }, { role: 'user', content: 'Q' }] : `prompt ${String(i % 5)}`, policy: `p${String(i % 3)}`, output: i === 7 ? '' : `out "é" ${String(i)}\n`, ...(i % 2 === 0 ? { prompt_id: `id-${String(i)}` } : {}), ...(i === 4 ? { wrapper: 'pretrain' } : {}) }));
  writeFileSync(path, gzipSync(rows.map((row) => JSON.stringify(row)).join('\n')));
  const output = join(folder, 'trajectories');
  const imported = await importRows(importConfig.parse({ output, kind: 'trajectories', paths: [path], shardRows: 10 }));
  assert.deepEqual({ rows: imported.rows, files: imported.files.length, policies: imported.policies }, { rows: 25, files: 3, policies: { p0: 9, p1: 8, p2: 8 } });
  const stored = await read(output);
  assert.deepEqual(stored.map(({ policy, output: text }) => [policy, text]), rows.map(({ policy, output: text }) => [policy, text]));
  assert.equal(stored[3]?.['prompt'], 'S\nQ');
  assert.equal(stored[4]?.['wrapper'], 'pretrain');
  assert.equal(stored[5]?.['wrapper'], 'sft');
  assert.equal(stored[2]?.['prompt_id'], 'id-2');
  assert.equal(stored[6]?.['prompt'] === stored[1]?.['prompt'], true);
  assert.equal(stored[24]?.['source'], `${path}:25`);
  await assert.rejects(importRows(importConfig.parse({ output, kind: 'trajectories', paths: [path] })), /output: expected a folder that is not there yet/);
});

test('ranked triplets are imported, and malformed rows are named and leave nothing behind', async () => {
  const path = join(folder, 'p.jsonl');
  const row = { prompt: [{ role: 'user', content: 'Q' }], reference: 'best', chosen: [{ role: 'assistant', content: 'good' }], rejected: 'bad' };
  writeFileSync(path, [row, row].map((one) => JSON.stringify(one)).join('\n'));
  const output = join(folder, 'preferences');
  await importRows(importConfig.parse({ output, kind: 'preferences', paths: [path] }));
  assert.deepEqual((await read(output)).map(({ prompt, reference, chosen, rejected, wrapper }) => ({ prompt, reference, chosen, rejected, wrapper })), [0, 1].map(() => ({ prompt: 'Q', reference: 'best', chosen: 'good', rejected: 'bad', wrapper: 'sft' })));
  writeFileSync(path, [row, { ...row, chosen: 5 }, [], { ...row, rejected: '\ud800' }].map((one) => JSON.stringify(one)).join('\n'));
  const bad = join(folder, 'bad');
  await assert.rejects(importRows(importConfig.parse({ output: bad, kind: 'preferences', paths: [path] })), /^Error: 3 malformed rows:\n.*p\.jsonl:2: chosen: expected a string or a list of messages\n.*:3: .*\n.*:4: rejected: expected Unicode text/s);
  assert.equal(existsSync(bad), false);
  assert.deepEqual(readdirSync(folder).filter((name) => name.includes('.tmp')), []);
});
