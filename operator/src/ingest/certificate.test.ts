import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { isUsable, issue, servingNames } from './certificate.ts';

const names = servingNames('polar-system');
const now = new Date('2026-01-01T00:00:00Z');
const later = (days: number): Date => new Date(now.getTime() + days * 86_400_000);

test('a new certificate is good for every name of the Service for at least 30 days and for no other name', async () => {
  const made = await issue(names, now);
  assert.ok(isUsable(made, names, later(30)));
  assert.ok(!isUsable(made, [...names, 'polar-ingest.default.svc'], later(30)));
  const serving = new X509Certificate(made.certificatePem);
  assert.equal(serving.ca, false);
  assert.equal(serving.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
  assert.deepEqual(serving.keyUsage, ['1.3.6.1.5.5.7.3.1']);
});

test('a renewed certificate is below the same CA, so that running trainers go on trusting it', async () => {
  const made = await issue(names, now);
  assert.ok(!isUsable(made, names, later(91)));
  const renewed = await issue(names, later(61), made);
  assert.equal(renewed.caPem, made.caPem);
  assert.notEqual(renewed.certificatePem, made.certificatePem);
  assert.ok(isUsable(renewed, names, later(91)));
});

test('a CA about to end is replaced', async () => {
  const made = await issue(names, now);
  const renewed = await issue(names, later(3600), made);
  assert.notEqual(renewed.caPem, made.caPem);
  assert.ok(isUsable(renewed, names, later(3630)));
});

test('a damaged certificate is not usable', async () => {
  const made = await issue(names, now);
  const other = await issue(names, now);
  for (const part of ['caPem', 'caKeyPem', 'certificatePem', 'keyPem'] as const) {
    assert.ok(!isUsable({ ...made, [part]: '' }, names, now), part);
    assert.ok(!isUsable({ ...made, [part]: other[part] }, names, now), part);
  }
});
