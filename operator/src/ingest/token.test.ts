import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TOKEN_AUDIENCE } from '../api/labels.ts';
import { Refusal } from './refusal.ts';
import { claimOf } from './token.ts';

const now = new Date('2026-01-01T00:00:00Z');
const seconds = now.getTime() / 1000;
const good = { aud: [TOKEN_AUDIENCE], exp: seconds + 600, sub: 'system:serviceaccount:ns:default', 'kubernetes.io': { namespace: 'ns', pod: { name: 'p', uid: 'u' } } };
const jwt = (payload: unknown): string => `e30.${Buffer.from(JSON.stringify(payload)).toString('base64url')}.c2ln`;

test('a token that may be good names its pod', () => {
  assert.equal(claimOf(`Bearer ${jwt(good)}`, now).podUid, 'u');
  assert.equal(claimOf(`bearer ${jwt({ ...good, aud: TOKEN_AUDIENCE, 'kubernetes.io': undefined })}`, now).podUid, undefined);
});

test('a token that cannot be good is refused by what it says itself', () => {
  const cases: [string | undefined, RegExp][] = [
    [undefined, /expected "authorization/], ['', /expected/], ['Bearer ', /expected/], ['Bearer  x', /expected/], ['Basic abc', /expected/], [`Bearer ${'a'.repeat(8193)}`, /expected/], ['Bearer a\nb', /expected/],
    ['Bearer nothing', /not a service account token/], ['Bearer a.b.c', /not a service account token/], [`Bearer ${jwt([])}`, /not a service account token/], [`Bearer ${jwt({ ...good, sub: 'system:admin' })}`, /not a service account token/],
    [`Bearer ${jwt({ ...good, aud: ['https://kubernetes.default.svc'] })}`, /not for audience/], [`Bearer ${jwt({ ...good, aud: [] })}`, /not for audience/],
    [`Bearer ${jwt({ ...good, exp: seconds - 61 })}`, /expired/], [`Bearer ${jwt({ ...good, exp: 'never' })}`, /not a service account token/],
  ];
  for (const [header, why] of cases) assert.throws(() => claimOf(header, now), (error) => error instanceof Refusal && why.test(error.message), header);
});

test('no header whatever does more than be refused', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json().map((text) => `Bearer e30.${Buffer.from(text).toString('base64url')}.x`)), (header) => {
    assert.throws(() => claimOf(header, now), Refusal);
  }));
});
