import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pace } from './pace.ts';

test('a burst passes at once, then as many per second as allowed', () => {
  let now = 0;
  const limit = pace(10, 5, () => now);
  assert.deepEqual(Array.from({ length: 5 }, () => limit.delayMs()), [0, 0, 0, 0, 0]);
  assert.deepEqual(Array.from({ length: 3 }, () => limit.delayMs()), [100, 200, 300]);
  now = 10_000;
  assert.equal(limit.delayMs(), 0);
});
