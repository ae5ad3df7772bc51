import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { Journal, readJournal, type Entry } from './journal.ts';

const folder = mkdtempSync(join(tmpdir(), 'polar-journal-'));
after(() => { rmSync(folder, { recursive: true }); });

const ENTRIES: Entry[] = Array.from({ length: 40 }, (_, r) => (r % 3 === 0 ? { kind: 'ask', r, p: 1, cost: [r, '12'] } : { kind: 'row', r, p: 0, cost: [1, '0'], row: { output: `line ${String(r)}\n"é"\u2028`, finishReason: 'stop', truncated: 'none', cut: 0, tokensIn: null, tokensOut: 2, model: null, time: 5 } }));

async function read(path: string): Promise<{ entries: Entry[]; damaged: number }> {
  const entries: Entry[] = [];
  const { damaged } = await readJournal(path, (entry, { at, length }) => {
    assert.ok(readFileSync(path).subarray(at, at + length).toString().endsWith('\n'));
    entries.push(entry);
  });
  return { entries, damaged };
}

test('what was appended is read back, from the places that were told', async () => {
  const path = join(folder, 'whole');
  const journal = await Journal.create(path);
  const spans = await Promise.all(ENTRIES.map((entry) => journal.append(entry)));
  await journal.close();
  assert.deepEqual((await read(path)).entries, ENTRIES);
  for (const [i, { at, length }] of spans.entries()) assert.match(readFileSync(path).subarray(at, at + length).toString(), new RegExp(`"r":${String(i)},`));
  await assert.rejects(Journal.create(path), /EEXIST/);
});

test('a journal cut anywhere gives the entries before the cut, and damage costs only the lines it hits', async () => {
  const whole = readFileSync(join(folder, 'whole'));
  const path = join(folder, 'hurt');
  await fc.assert(fc.asyncProperty(fc.nat({ max: whole.length - 1 }), fc.boolean(), async (at, cut) => {
    const bytes = cut ? whole.subarray(0, at) : Buffer.from(whole);
    if (!cut) bytes[at] = (bytes[at] ?? 0) ^ 0x15;
    writeFileSync(path, bytes);
    const { entries } = await read(path);
    const known = new Set(ENTRIES.map((entry) => JSON.stringify(entry)));
    assert.ok(entries.every((entry) => known.has(JSON.stringify(entry))));
    if (cut) assert.equal(entries.length, whole.subarray(0, at).toString('latin1').split('\n').length - 1);
    else assert.ok(entries.length >= ENTRIES.length - 2);
  }));
});
