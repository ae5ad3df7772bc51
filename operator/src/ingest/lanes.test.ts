import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressOf, lane, offenders } from './lanes.ts';
import { LIMITS } from './limits.ts';
import { Refusal } from './refusal.ts';

test('a lane runs so many at once, lets so many wait, and refuses the rest at once', async () => {
  const run = lane({ atOnce: 2, waiting: 3 });
  const release: (() => void)[] = [];
  let running = 0;
  const task = async (): Promise<void> => {
    running += 1;
    await new Promise<void>((resolve) => release.push(resolve));
    running -= 1;
  };
  const all = Array.from({ length: 7 }, () => run(task).then(() => 'done', (error: unknown) => (error instanceof Refusal ? 'refused' : 'failed')));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(running, 2);
  while (release.length > 0) {
    release.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(running <= 2);
  }
  assert.deepEqual((await Promise.all(all)).toSorted(), ['done', 'done', 'done', 'done', 'done', 'refused', 'refused']);
});

test('a task that fails leaves its place to the next', async () => {
  const run = lane({ atOnce: 1, waiting: 1 });
  const first = run(() => Promise.reject(new Error('no')));
  const second = run(() => Promise.resolve('yes'));
  await assert.rejects(first, /no/);
  assert.equal(await second, 'yes');
});

test('an address is suspect after some refused tokens, blocked after many, and forgiven after a minute', () => {
  let now = 0;
  const offending = offenders(LIMITS, () => now);
  for (let i = 0; i < LIMITS.suspectAfter; i++) offending.blame('10.0.0.1');
  assert.deepEqual([offending.isSuspect('10.0.0.1'), offending.isBlocked('10.0.0.1'), offending.isSuspect('10.0.0.2')], [true, false, false]);
  for (let i = 0; i < LIMITS.blockedAfter; i++) offending.blame('10.0.0.1');
  assert.ok(offending.isBlocked('10.0.0.1'));
  now = 61_000;
  assert.ok(!offending.isSuspect('10.0.0.1'));
});

test('an address is what comes before the port, of both kinds of address', () => {
  assert.deepEqual(['10.0.0.1:55', '::ffff:10.0.0.1:55', 'fe80::1:55', ''].map(addressOf), ['10.0.0.1', '::ffff:10.0.0.1', 'fe80::1', '']);
});
