import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { clean } from './clean.ts';

const RULES = { loopRepeats: 4, loopLength: 40, incomplete: 'truncate' } as const;

test('a loop at the end keeps two repetitions', () => {
  const { text, truncated, cut } = clean(`Once upon a time. ${'The cat sat. '.repeat(30)}`, true, RULES);
  assert.equal(text, 'Once upon a time. The cat sat. The cat sat');
  assert.equal(truncated, 'loop');
  assert.equal(cut, 28 * 13 + 2);
});

test('a loop whose last repetition is cut is found', () => {
  assert.equal(clean(`A list: ${'ab-cd-'.repeat(20)}ab-`, true, RULES).truncated, 'loop');
});

test('repetitions that are few or short stay', () => {
  for (const text of ['no no no no', `${'The cat sat on the wide mat. '.repeat(3)}`, `Title\n${'-'.repeat(30)}`]) assert.deepEqual(clean(text, false, RULES), { text, truncated: 'none', cut: 0 });
});

test('an ending at the token limit is cut behind the last sentence or line', () => {
  assert.equal(clean('First one. Second "one." And then the', true, RULES).text, 'First one. Second "one."');
  assert.equal(clean('def f():\n  return 1\ndef g(', true, RULES).text, 'def f():\n  return 1');
  assert.equal(clean('他说好。然后', true, RULES).text, '他说好。');
  assert.equal(clean('It costs 3.14 in all', true, RULES).text, 'It costs 3.14 in all');
  assert.equal(clean('First one. And then', false, RULES).truncated, 'none');
});

test('what is cut is a tail of the output, counted, and every loop is found', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }), fc.integer({ min: 0, max: 50 }), fc.boolean(), (head, unit, times, limit) => {
    const output = head + unit.repeat(times);
    const { text, truncated, cut } = clean(output, limit, RULES);
    assert.ok(output.startsWith(text));
    assert.equal(cut, output.length - text.length);
    assert.ok(text.isWellFormed());
    if (times >= 4 && unit.length * times >= 40) assert.equal(truncated, 'loop');
  }));
});

test('a long output is judged in linear time', () => {
  const t0 = performance.now();
  clean('ab'.repeat(2_000_000) + 'c', true, RULES);
  clean(Array.from({ length: 400_000 }, (_, i) => `word${String(i)}`).join(' '), true, RULES);
  assert.ok(performance.now() - t0 < 3000);
});
