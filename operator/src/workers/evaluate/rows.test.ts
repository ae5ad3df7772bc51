import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { importRows } from '../generate/import.ts';
import { readTrajectories, readTriplets } from './rows.ts';

async function folder(t: TestContext): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'evaluate-rows-'));
  t.after(() => rm(made, { recursive: true }));
  return made;
}

const triplet = { prompt: [{ role: 'user', content: 'One' }, { role: 'user', content: 'two?' }], reference: 'best', chosen: 'good', rejected: 'bad', category: 'chat' };

void describe('rows of an evaluation', () => {
  it('reads the same trajectories from compressed lines and from an imported corpus', async (t) => {
    const at = await folder(t);
    const lines = [{ prompt: 'Hi', policy: 'ann', output: 'Hello.' }, { prompt: 'Hi', policy: 'bob', output: '', prompt_id: 'hi' }];
    await writeFile(join(at, 'rows.jsonl.gz'), gzipSync(lines.map((line) => JSON.stringify(line)).join('\n')));
    await importRows({ output: join(at, 'corpus'), kind: 'trajectories', paths: [join(at, 'rows.jsonl.gz')], wrapper: 'sft', shardRows: 10 });
    const read: string[] = [];
    const rows = await readTrajectories({ paths: [join(at, 'rows.jsonl.gz')], wrapper: 'sft', onRead: ({ sha256 }) => read.push(sha256 ?? '') });
    assert.deepEqual(rows.map(({ policy, output, wrapper }) => [policy, output, wrapper]), [['ann', 'Hello.', 'sft'], ['bob', '', 'sft']]);
    assert.equal(rows[1]?.promptId, 'hi');
    assert.deepEqual(await readTrajectories({ paths: [join(at, 'corpus')], wrapper: 'pretrain' }), rows);
    assert.match(read[0] ?? '', /^[0-9a-f]{64}$/);
  });

  it('joins messages of triplets and keeps their category', async (t) => {
    const at = await folder(t);
    await writeFile(join(at, 'triplets.jsonl'), `${JSON.stringify(triplet)}\n`);
    const [one] = await readTriplets({ paths: [at], wrapper: 'sft' });
    assert.deepEqual([one?.prompt, one?.reference, one?.chosen, one?.rejected, one?.category], ['One\ntwo?', { prompt: 'One\ntwo?', response: 'best' }, 'good', 'bad', 'chat']);
  });

  it('names the lines of malformed rows and their number', async (t) => {
    const at = await folder(t);
    await writeFile(join(at, 'triplets.jsonl'), [triplet, { ...triplet, chosen: 3 }, { prompt: 'x' }].map((line) => JSON.stringify(line)).join('\n'));
    await assert.rejects(readTriplets({ paths: [at], wrapper: 'sft' }), /2 malformed rows:\n.*triplets\.jsonl:2: chosen: expected a string or a list of messages\n.*triplets\.jsonl:3: reference/);
  });
});
