import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backoffMs, Breaker, Pace, retryAfterMs } from './breaker.ts';

const RULES = { breakAfter: 3, baseMs: 100, longestMs: 10_000 };

test('after failures in a row one request probes, and its success lets the others go', () => {
  const breaker = new Breaker(RULES);
  for (let i = 0; i < 3; i += 1) {
    assert.equal(breaker.waitMs(0), 0);
    breaker.failed(0, 1);
  }
  assert.equal(breaker.waitMs(0), 800);
  assert.equal(breaker.waitMs(800), 0);
  breaker.sent();
  assert.equal(breaker.waitMs(800), Infinity);
  breaker.failed(900, 1);
  assert.equal(breaker.waitMs(900), 1600);
  breaker.sent();
  breaker.succeeded();
  assert.equal(breaker.closed, true);
  assert.equal(breaker.waitMs(900), 0);
});

test('late failures of requests that were open already do not put the probe off', () => {
  const breaker = new Breaker(RULES);
  for (let i = 0; i < 3; i += 1) breaker.failed(0, 1);
  breaker.failed(700, 1);
  assert.equal(breaker.waitMs(800), 0);
});

test('waits grow and never pass the longest', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 5000 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, jitter) => {
    const wait = backoffMs(attempt, RULES, jitter);
    assert.ok(wait <= RULES.longestMs && wait >= Math.min(RULES.longestMs, RULES.baseMs) / 2);
  }));
});

test('Retry-After is read as seconds or as a date, and not guessed', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  assert.equal(retryAfterMs('7', now), 7000);
  assert.equal(retryAfterMs('0.5', now), 500);
  assert.equal(retryAfterMs('Thu, 01 Jan 2026 00:00:05 GMT', now), 5000);
  assert.equal(retryAfterMs('Wed, 31 Dec 2025 00:00:05 GMT', now), 0);
  for (const header of [undefined, '', 'soon', '-5', '1e9', '99999999999']) assert.equal(retryAfterMs(header, now), undefined);
});

test('a pace is kept over any second', () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 50 }), fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 200 }), (perSecond, gaps) => {
    const pace = new Pace(perSecond, 0);
    const sent: number[] = [];
    let now = 0;
    for (const gap of gaps) {
      now += gap;
      if (pace.take(now) === 0) sent.push(now);
    }
    for (const from of sent) assert.ok(sent.filter((at) => at >= from && at < from + 1000).length <= 2 * perSecond);
  }));
});
