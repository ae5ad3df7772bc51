import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOBODY, observed } from './holding.ts';
import type { Lease, LeaseSpec } from './lease.ts';

const me = { identity: 'me', leaseDurationMs: 15_000 };
const lease = (spec: LeaseSpec, uid = 'u'): Lease => ({ metadata: { name: 'l', uid }, spec });
const other = (renewTime: string, leaseDurationSeconds = 15): Lease => lease({ holderIdentity: 'other', renewTime, leaseDurationSeconds });

test('waits the lease out from when this process saw a renewal, whatever times the Lease names', () => {
  const first = observed(NOBODY, other('1970-01-01T00:00:00.000000Z'), 1000, me);
  assert.equal(first.until, 16_000);
  assert.equal(observed(first, other('1970-01-01T00:00:00.000000Z'), 9000, me).until, 16_000, 'the same renewal seen again is no news');
  assert.equal(observed(first, other('2999-01-01T00:00:00.000000Z'), 9000, me).until, 24_000);
});

test('is free at once when it was released or is its own, and not when it was deleted', () => {
  const held = observed(NOBODY, other('t1'), 1000, me);
  assert.equal(observed(held, lease({ holderIdentity: '' }), 2000, me).until, 2000);
  assert.equal(observed(held, lease({ holderIdentity: 'me' }), 2000, me).until, 2000);
  assert.equal(observed(held, undefined, 2000, me).until, 16_000);
  assert.equal(observed(NOBODY, undefined, 2000, me).until, 0);
});

test('respects the duration a holder declares, within bounds', () => {
  const until = (seconds: number): number => observed(NOBODY, other('t', seconds), 0, me).until;
  assert.deepEqual([until(60), until(1), until(-5), until(Number.NaN), until(2_000_000_000)], [60_000, 15_000, 15_000, 15_000, 150_000]);
});
