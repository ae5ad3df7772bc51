import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { withoutArrays } from './jsonText.ts';

const FIELDS = ['curve', 'managedFields'];

const emptied = (value: unknown, name = ''): unknown => {
  if (Array.isArray(value)) return FIELDS.includes(name) ? [] : value.map((item) => emptied(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, emptied(part, key)]));
};

const text = fc.oneof(fc.string({ unit: 'grapheme' }), fc.constantFrom('"curve":[', ',"curve":[', '\\', '\\"', ']', '[', '{"curve":[]}', ',"managedFields":[{'));
const key = fc.oneof({ weight: 2, arbitrary: fc.constantFrom('curve', 'managedFields', 'a', 'curve2', '"curve'), }, { weight: 1, arbitrary: text }).filter((name) => name !== '__proto__');
const { value } = fc.letrec((tie) => ({
  value: fc.oneof({ maxDepth: 5 }, fc.constantFrom(null, true, 1.5), text, fc.array(tie('value'), { maxLength: 4 }), fc.dictionary(key, tie('value'), { maxKeys: 4 })),
}));

test('empties the arrays of these fields and leaves everything else as it was, whatever texts look like', () => {
  fc.assert(fc.property(value, (any) => {
    assert.deepEqual(JSON.parse(withoutArrays(JSON.stringify(any), FIELDS)), JSON.parse(JSON.stringify(emptied(any))));
  }), { numRuns: 3000 });
});

test('gives back a text without such fields as it is', () => {
  const plain = JSON.stringify({ items: [{ metadata: { name: 'a' }, status: { conditions: [] } }] });
  assert.equal(withoutArrays(plain, FIELDS), plain);
});
