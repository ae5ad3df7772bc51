import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { parquetWriteFile } from 'hyparquet-writer';
import { prompts as schema, type PromptsConfig } from './config.ts';
import { openPrompts, preparePrompts, type Prompt } from './prompts.ts';
import { drawLength, segmentOf, tokenEnds } from './segment.ts';

const folder = mkdtempSync(join(tmpdir(), 'polar-prompts-'));
after(() => { rmSync(folder, { recursive: true }); });
const TOKENIZER = join(import.meta.dirname, '../../../../testdata/encoding/bytelevel/tokenizer.json');

let files = 0;
function aFile(suffix: string, content: string | Buffer): string {
  const path = join(folder, `${String(files++)}${suffix}`);
  writeFileSync(path, content);
  return path;
}

async function promptsOf(config: Partial<PromptsConfig> & Pick<PromptsConfig, 'sources'>, seed = 1): Promise<{ all: Prompt[]; repeated: number; tooShort: number }> {
  const at = join(folder, `store-${String(files++)}`);
  const { store, sources } = await preparePrompts(schema.parse(config), seed, at);
  const opened = await openPrompts(at, store);
  const all = await Promise.all(Array.from({ length: store.count }, (_, i) => opened.prompt(i)));
  await opened.close();
  return { all, repeated: store.repeated, tooShort: sources.reduce((sum, one) => sum + one.tooShort, 0) };
}

const source = (path: string, rest: object = {}): PromptsConfig['sources'][number] => ({ path, kind: 'text', documents: 'line', ...rest });
const LINES = Array.from({ length: 300 }, (_, i) => `Line ${String(i)} says: the sea is wide, and number ${String(i * 7)} is not.`);

test('every format gives the same prompts, whatever the order of documents', async () => {
  const parquet = join(folder, 'docs.parquet');
  parquetWriteFile({ filename: parquet, columnData: [{ name: 'text', data: LINES, type: 'STRING' }, { name: 'other', data: LINES, type: 'STRING' }] });
  const rows = LINES.map((text) => JSON.stringify({ text })).join('\n');
  const paths = [aFile('.txt', LINES.join('\n')), aFile('.txt', [...LINES].reverse().join('\r\n')), aFile('.jsonl', rows), aFile('.jsonl.gz', gzipSync(rows)), parquet];
  const [first, ...others] = await Promise.all(paths.map((path) => promptsOf({ sources: [source(path)] })));
  assert.ok(first !== undefined && first.all.length > 200);
  for (const other of others) assert.deepEqual(other.all, first.all);
  assert.ok(first.all.every(({ prompt }) => LINES.some((line) => line.startsWith(prompt) && line !== prompt)));
  assert.notDeepEqual((await promptsOf({ sources: [source(paths[0] ?? '')] }, 2)).all, first.all);
});

test('a text file is documents by line, by paragraph or as a whole', async () => {
  const path = aFile('.txt', 'one two three\nfour five\n\n \nsix seven eight nine\n');
  const counts = await Promise.all((['line', 'paragraph', 'file'] as const).map(async (documents) => (await promptsOf({ sources: [source(path, { documents })], prefixTokens: { least: 1, most: 1 } })).all.map(({ prompt }) => prompt).sort()));
  assert.deepEqual(counts, [['four', 'one', 'six'], ['one', 'six'], ['one']]);
});

test('prompts that repeat are asked once', async () => {
  const path = aFile('.jsonl', ['Hi', 'Ho', 'Hi', 'Hi'].map((prompt) => JSON.stringify({ prompt })).join('\n'));
  const { all, repeated } = await promptsOf({ sources: [source(path, { kind: 'instructions' }), source(path, { kind: 'instructions' })] });
  assert.deepEqual(all.map(({ prompt }) => prompt).sort(), ['Hi', 'Ho']);
  assert.equal(repeated, 6);
});

test('of a conversation everything up to the last user message asks', async () => {
  const messages = [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Hello' }, { role: 'user', content: 'Sing' }, { role: 'assistant', content: 'La' }];
  const { all } = await promptsOf({ sources: [source(aFile('.jsonl', JSON.stringify({ messages })), { kind: 'instructions', field: 'messages' })] });
  assert.deepEqual(all, [{ kind: 'instructions', prompt: 'Hi\nHello\nSing', messages: messages.slice(0, 3) }]);
});

test('what cannot be read is refused with file, line, what was expected and what was got', async () => {
  const cases: [string, Buffer | string, RegExp][] = [
    ['.jsonl', '{"text":"a b"}\n{"text":', /jsonl:2: not JSON/],
    ['.jsonl', '{"other":"a b"}', /jsonl:1: text: expected Unicode text, got nothing/],
    ['.jsonl', '{"text":"\\ud800 a"}', /jsonl:1: text: expected Unicode text/],
    ['.txt', Buffer.from([0x61, 0x20, 0xff, 0xfe]), /txt:1: expected UTF-8/],
    ['.jsonl.gz', Buffer.from('not gzip'), /cannot read: incorrect header check/],
    ['.parquet', 'not parquet at all', /damaged Parquet file/],
    ['.csv', 'a,b', /expected a name ending in \.txt, \.jsonl/],
    ['.txt', 'one', /expected at least one prompt, got none .*1 documents, 1 too short/],
  ];
  for (const [suffix, content, message] of cases) await assert.rejects(promptsOf({ sources: [source(aFile(suffix, content))] }), message);
});

test('segments have every length up to the most, by a tokenizer too, and leave something to continue', async () => {
  for (const tokenizerPath of [undefined, TOKENIZER]) {
    const ends = await tokenEnds(schema.parse({ sources: [source('x')], ...(tokenizerPath === undefined ? {} : { tokenizerPath }) }));
    await fc.assert(fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 200 }), fc.integer({ min: 1, max: 30 }), async (text, most) => {
      const [all = []] = await ends([text], [1000]);
      for (let i = 0; i < 10; i += 1) {
        const key = `key ${String(i)}`;
        const wanted = drawLength({ least: 1, most }, key);
        const [found = []] = await ends([text], [wanted + 1]);
        assert.deepEqual(found, all.slice(0, wanted + 1));
        const segment = segmentOf(text, found, { wanted, least: 1, key });
        if (segment === undefined) continue;
        assert.ok(text.startsWith(segment) && segment.isWellFormed());
        assert.ok(all.indexOf(segment.length) < Math.min(most, all.length - 1));
      }
    }), { numRuns: 100 });
  }
  const lengths = new Set(Array.from({ length: 3000 }, (_, i) => drawLength({ least: 1, most: 64 }, String(i))));
  assert.equal(lengths.size, 64);
});

test('a long text gives the segment that it gives when all of it is tokenised', async () => {
  const ends = await tokenEnds(schema.parse({ sources: [source('x')], tokenizerPath: TOKENIZER }));
  const text = `${'the sea is wide '.repeat(400)}${'Donaudampfschifffahrtsgesellschaft'.repeat(200)} ${'x '.repeat(300)}`;
  const [all = []] = await ends([text], [100_000]);
  for (const most of [1, 7, 100, 900, 1700]) assert.deepEqual(await ends([text, 'a b'], [most, 9]), [all.slice(0, most), (await ends(['a b'], [100]))[0]]);
});
