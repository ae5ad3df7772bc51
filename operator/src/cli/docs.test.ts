import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { program } from './testIo.ts';

const ROOT = join(import.meta.dirname, '../../..');
const RUNS = 'testdata/scaling/runs.csv';
const RATES = 'testdata/scaling/rates.csv';
const WORDS = ['--form', 'joint', '--hold-out', 'params>500M', '--predict', 'N=7B,D=3.6T', '--need', 'loss=0.35'];

test('prints the best learning rates as its documentation shows', async () => {
  const text = readFileSync(join(ROOT, 'docs/cli.md'), 'utf8');
  const { out } = await program(['fit', join(ROOT, RATES), '--form', 'learning-rate']);
  assert.ok(text.includes(`\`\`\`\n${out.replace(join(ROOT, RATES), RATES).trimEnd()}\n\`\`\``), out);
});

test('prints and draws what its documentation shows', async () => {
  const text = readFileSync(join(ROOT, 'docs/cli.md'), 'utf8');
  const { out } = await program(['fit', join(ROOT, RUNS), ...WORDS]);
  assert.ok(text.includes(`\`\`\`\n${out.replace(join(ROOT, RUNS), RUNS).trimEnd()}\n\`\`\``), out);
  const drawn = await program(['fit', join(ROOT, RUNS), ...WORDS, '-o', 'svg']);
  assert.equal(drawn.out.length, readFileSync(join(ROOT, 'docs/pictures/law.svg'), 'utf8').length);
});
