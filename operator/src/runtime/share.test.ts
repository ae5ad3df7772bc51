import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sharing } from './share.ts';

test('returns what it was given, for any JSON', () => {
  fc.assert(fc.property(fc.array(fc.jsonValue()), (values) => {
    const share = sharing(8);
    let last: unknown;
    for (const value of values) {
      assert.equal(JSON.stringify(share(value)), JSON.stringify(value));
      last = share(structuredClone(value), last);
      assert.equal(JSON.stringify(last), JSON.stringify(value));
    }
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
  for (const value of values) for (const last of values) assert.deepEqual(share(value, share(last)), value);
});

test('goes on from what was shared last, and finds the rest again', () => {
  const share = sharing();
  const value = (step: number): unknown => ({ name: `run-${step}`, list: [{ step }, { kind: 'same' }], labels: { one: 'same' } });
  const [first, second] = [share(value(1)), share(value(2))] as { list: unknown[]; labels: unknown }[];
  const third = share(value(3), second) as { list: unknown[]; labels: unknown };
  assert.deepEqual(third, value(3));
  assert.deepEqual([third.list[1] === first?.list[1], third.labels === first?.labels], [true, true]);
  assert.equal(share(value(2), third), second);
  assert.equal(share(value(3), third), third);
});

test('keeps the fields of a prototype apart from those of an object', () => {
  const share = sharing();
  for (const json of ['{"__proto__":{}}', '{"a":{"__proto__":{"b":1}}}', '{"constructor":{}}']) assert.equal(JSON.stringify(share(JSON.parse(json), share({ a: {} }))), json);
});

test('hands out values that nobody can change', () => {
  const shared = sharing()({ list: [{ a: 1 }] });
  assert.throws(() => shared.list.push({ a: 2 }), TypeError);
});
