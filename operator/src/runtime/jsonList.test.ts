import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { readList } from './jsonList.ts';

const FIELDS = ['curve', 'managedFields'];

const emptied = (value: unknown, name = ''): unknown => {
  if (Array.isArray(value)) return FIELDS.includes(name) ? [] : value.map((item) => emptied(item));
  if (typeof value !== 'object' || value === null) return value;
  if (FIELDS.includes(name)) return {};
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, emptied(part, key)]));
};

const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('"curve":[', ',"curve":{', '\\', '\\"', ']', '[', '}', '{"curve":[]}', ',"managedFields":[{', '"items":['));
const key = fc.oneof({ weight: 2, arbitrary: fc.constantFrom('curve', 'managedFields', 'items', 'a', 'curve2', '"curve') }, { weight: 1, arbitrary: text }).filter((name) => name !== '__proto__');
const { value } = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 5 }, fc.constantFrom(null, true, 1.5), text, fc.array(tie('value'), { maxLength: 4 }), fc.dictionary(key, tie('value'), { maxKeys: 4 })),
}));
const items = fc.array(fc.dictionary(key, value, { maxKeys: 4 }), { maxLength: 6 });

const inChunks = (bytes: Buffer, size: number): AsyncIterable<Uint8Array> => Readable.from(Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size)));

async function read(json: string, { chunk = 16, window = 64 } = {}): Promise<{ rest: unknown; taken: unknown[] }> {
  const taken: unknown[] = [];
  const rest = await readList(inChunks(Buffer.from(json), chunk), { unread: FIELDS, take: (item) => taken.push(item) }, window);
  return { rest, taken };
}

test('hands over every item without what nobody reads, whatever texts look like and wherever chunks end', async () => {
  await fc.assert(fc.asyncProperty(items, fc.nat(40), fc.nat(100), fc.boolean(), async (list, chunk, window, isLast) => {
    const metadata = { resourceVersion: '7', continue: 'x' };
    const json = JSON.stringify(isLast ? { apiVersion: 'v1', items: list, metadata } : { metadata, apiVersion: 'v1', items: list });
    const { rest, taken } = await read(json, { chunk: chunk + 1, window: window + 1 });
    assert.deepEqual(taken, JSON.parse(JSON.stringify(list.map((item) => emptied(item)))));
    assert.deepEqual(rest, { apiVersion: 'v1', metadata, items: [] });
  }), { numRuns: 1000 });
});

test('reads lists that are written with white space, and of odd items or none', async () => {
  const list = { kind: 'List', metadata: { resourceVersion: '7' }, items: [{ a: 1 }, { a: { curve: [1] } }] };
  assert.deepEqual((await read(JSON.stringify(list, undefined, 2))).taken, list.items);
  assert.deepEqual((await read('{"items":[ {"a":1} ,\n {"a":2} ],"kind":"List"}')).taken, [{ a: 1 }, { a: 2 }]);
  assert.deepEqual(await read('{"kind":"List","items":null}'), { rest: { kind: 'List', items: [] }, taken: [] });
  assert.deepEqual((await read('{"items":[{"a":1},null,{"a":2}]}')).taken, [{ a: 1 }, null, { a: 2 }]);
  assert.deepEqual(await read('{"items":[]}'), { rest: { items: [] }, taken: [] });
});

test('refuses what is no list, and a list that ends early', async () => {
  for (const json of ['', '{', 'no', '{"items":[', '{"items":[{"a":1}', '{"items":[{"a":1},', '{"items":[{"a":"', '{"items":[{"managedFields":[', '{"items":[{"a":1]}', '{"items":[{]}']) {
    await assert.rejects(read(json), SyntaxError, json);
  }
});
