import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { numberChecks } from './numbers.ts';

const PLAIN = /^[0-9]+(\.[0-9]+)?$/;

test('every accepted number becomes a plain decimal of at most 32 characters, close to what it was', () => {
  const kinds = [['loss', 1e6, 5e-6], ['rate', 1e30, 5e-4], ['share', 1, 1e-4]] as const;
  for (const [kind, max, relative] of kinds) {
    fc.assert(fc.property(fc.double({ min: 0, max, noNaN: true }), (value) => {
      const text = numberChecks()[kind](value);
      assert.match(text ?? '', PLAIN);
      assert.ok((text ?? '').length <= 32);
      assert.ok(Math.abs(Number(text) - value) <= Math.max(value * relative, 1e-4 * relative + 1e-11, kind === 'share' ? 5.1e-5 : 0), `${value} became ${text ?? ''}`);
    }));
  }
});

test('what is not a number, negative or too large is refused and counted', () => {
  const checks = numberChecks();
  assert.deepEqual([Number.NaN, Number.POSITIVE_INFINITY, -1e-9, 1.0001].map(checks.share), [undefined, undefined, undefined, undefined]);
  assert.equal(checks.whole(2n ** 63n - 1n), undefined);
  assert.equal(checks.whole(1.5), undefined);
  assert.equal(checks.refused(), 6);
});

test('an absent number is not refused', () => {
  const checks = numberChecks();
  assert.deepEqual([checks.whole(undefined), checks.loss(undefined), checks.share(undefined), checks.rate(undefined)], [undefined, undefined, undefined, undefined]);
  assert.equal(checks.refused(), 0);
});
