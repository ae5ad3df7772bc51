import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sharing } from './share.ts';

test('returns what it was given, for any JSON', () => {
  fc.assert(fc.property(fc.array(fc.jsonValue()), (values) => {
    const share = sharing(8);
    for (const value of values) assert.equal(JSON.stringify(share(value)), JSON.stringify(value));
  }));
});

test('holds equal parts once', () => {
  const share = sharing();
  const [a, b] = [share({ name: 'a', labels: { one: 'same', two: ['x', { y: 1 }] } }), share({ name: 'b', labels: { one: 'same', two: ['x', { y: 1 }] } })];
  assert.equal(a.labels, b.labels);
  assert.notEqual(a, b);
  assert.equal(share(structuredClone(a)), a);
});

test('tells parts apart that only look alike', () => {
  const share = sharing();
  const values = [{ a: 1 }, { a: '1' }, { a: [1] }, { a: { 0: 1 } }, { a: null }, { a: true }, { b: 1 }, { a: 1, b: 2 }, { a: '1,b:2' }, { a: '#1' }, { a: {} }, { a: [] }];
  for (const value of values) assert.deepEqual(share(value), value);
});

test('hands out values that nobody can change', () => {
  const shared = sharing()({ list: [{ a: 1 }] });
  assert.throws(() => shared.list.push({ a: 2 }), TypeError);
});
