import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { assemble, encodeEach, encodeGroup, encodeRows, fits, flatten, type Content, type Encoder, type Limits, type Text, type Wrapper } from './encode.ts';
import { parseTokenizer, readTokenizer } from './tokenizer.ts';

interface Case {
  name: string; limits: Limits; wrapper: Wrapper; prompt: Content; candidatePrompt?: Content; reference: Content | null; candidates: Content[];
  group: number[][]; each?: number[][];
}

const FOLDER = join(import.meta.dirname, '../../../../testdata/encoding');
const TOKENIZERS = ['bytelevel', 'nfkc', 'metaspace', 'internlm2'];
const fileOf = (name: string): string => join(FOLDER, name, 'tokenizer.json');

function textsOf(one: Case): [Text | null, Text[]] {
  const text = (prompt: Content, response: Content): Text => ({ prompt: flatten(prompt), response: flatten(response), wrapper: one.wrapper });
  const candidates = one.candidates.map((candidate) => text(one.candidatePrompt ?? one.prompt, candidate));
  return [one.reference === null ? null : text(one.prompt, one.reference), candidates];
}

for (const name of TOKENIZERS) {
  test(`gives the ids of every golden encoding, tokenizer ${name}`, async () => {
    const tokenizer = await readTokenizer(fileOf(name));
    const cases = JSON.parse(readFileSync(join(FOLDER, name, 'cases.json'), 'utf8')) as Case[];
    assert.ok(cases.length > 150);
    for (const one of cases) {
      const [reference, candidates] = textsOf(one);
      const encoder = { tokenizer, limits: one.limits };
      assert.deepEqual(await encodeGroup(reference, candidates, encoder), one.group, one.name);
      assert.deepEqual((await encodeEach(reference, candidates, encoder)).map(({ ids }) => ids), one.each ?? one.group, one.name);
    }
  });

  test(`rows put together are the encoded group whenever nothing is cut, tokenizer ${name}`, async () => {
    const tokenizer = await readTokenizer(fileOf(name));
    const piece = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.constantFrom('<|reward|>', '<|rew', 'ard|>', ' ', '\n', '[UNUSED_TOKEN_130]', '<s>'));
    const content = fc.array(piece, { maxLength: 5 }).map((parts) => parts.join(''));
    const text = fc.record({ prompt: content, response: content, wrapper: fc.constantFrom<Wrapper>('sft', 'pretrain') });
    let compared = 0;
    await fc.assert(fc.asyncProperty(text, fc.array(text, { minLength: 1, maxLength: 3 }), fc.integer({ min: 30, max: 400 }), async (reference, candidates, maxLength) => {
      const encoder: Encoder = { tokenizer, limits: { maxLength, maxResponseLength: Math.floor(maxLength / 3), cutSide: 'right', emptyResponse: 'newline' } };
      const [first, ...rest] = await encodeRows([reference, ...candidates], encoder);
      assert.ok(first !== undefined);
      if (!fits(first, rest, encoder.limits)) return;
      compared += 1;
      assert.deepEqual(assemble(first, rest, tokenizer), await encodeGroup(reference, candidates, encoder));
    }), { numRuns: 60, seed: 7 });
    assert.ok(compared > 10);
  });

  test(`no text brings in a separator or a reward token, tokenizer ${name}`, async () => {
    const tokenizer = await readTokenizer(fileOf(name));
    const parts = fc.constantFrom('<|', 'rew', 'ard', '|>', '<|reward|>', '[UNUSED_', 'TOKEN_130]', '[UNUSED_TOKEN_130]', '<s>', '\n', 'x', '\uff5c');
    const content = fc.array(parts, { maxLength: 9 }).map((all) => all.join(''));
    const limits: Limits = { maxLength: 400, maxResponseLength: 60, cutSide: 'right', emptyResponse: 'newline' };
    await fc.assert(fc.asyncProperty(content, content, content, fc.constantFrom<Wrapper>('sft', 'pretrain'), async (prompt, reference, output, wrapper) => {
      const [ids = []] = await encodeGroup({ prompt, response: reference, wrapper }, [{ prompt, response: output, wrapper }], { tokenizer, limits });
      const { bos, separator, reward } = tokenizer.ids;
      assert.deepEqual(ids.filter((id) => [bos, separator, reward].includes(id)), [bos, separator, reward]);
    }), { numRuns: 200, seed: 7 });
  });
}

test('refuses a text with a lone surrogate and says where it is', async () => {
  const tokenizer = await readTokenizer(fileOf('bytelevel'));
  await assert.rejects(tokenizer.tokens(['fine', 'a😀\ud800b']), /expected Unicode text, got a lone surrogate at character 2/);
});

test('refuses what is no tokenizer and a tokenizer without the two special tokens, by name', () => {
  const json = readFileSync(fileOf('bytelevel'), 'utf8');
  assert.throws(() => parseTokenizer('{}', 'a.json'), /^Error: a\.json: not a tokenizer file: /);
  assert.throws(() => parseTokenizer(json.replaceAll('<|reward|>', 'other'), 'a.json'), /a\.json: expected the special tokens <\|reward\|> and \[UNUSED_TOKEN_130\], found only \[UNUSED_TOKEN_130\]/);
  assert.throws(() => parseTokenizer(json.replaceAll('<s>', 'other'), 'a.json'), /expected the special token <s> or .*, found none/);
});

test('refuses to encode with a tokenizer that takes the separator apart', async () => {
  const json = readFileSync(fileOf('bytelevel'), 'utf8');
  const parsed = JSON.parse(json) as { added_tokens: { content: string }[] };
  const without = { ...parsed, added_tokens: parsed.added_tokens.filter(({ content }) => content !== '<|reward|>') };
  const tokenizer = parseTokenizer(JSON.stringify(without), 'a.json');
  await assert.rejects(tokenizer.behind(['text']), /a\.json: <\|reward\|> is not matched as one token/);
});
