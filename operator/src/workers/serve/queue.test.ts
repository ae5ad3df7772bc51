import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createQueue, type Queue } from './queue.ts';

const LIMITS = { waiting: 10_000, piece: 100, together: 400, small: 50 };
const range = (from: number, length: number): number[] => Array.from({ length }, (_, at) => from + at);
const taken = (queue: Queue<string>): string[] => queue.take().map(({ request }) => request);

test('a small request waits for a piece of a large one, not for all of it', () => {
  const queue = createQueue<string>(LIMITS);
  const pieces = queue.add('large', Array.from({ length: 10 }, (_, at) => range(1000 * at, 90)));
  assert.equal(pieces, 10);
  queue.add('small', [range(50_000, 60)]);
  assert.deepEqual([taken(queue), taken(queue), taken(queue)], [['large'], ['small'], ['large']]);
});

test('requests that begin alike are taken together, others only while they are small', () => {
  const queue = createQueue<string>(LIMITS);
  for (const own of [1, 2, 3]) queue.add(`alike ${String(own)}`, [[...range(100, 200), own]]);
  for (const own of [1, 2]) queue.add(`other ${String(own)}`, [range(1000 * own, 60)]);
  for (const own of [3, 4]) queue.add(`short ${String(own)}`, [range(1000 * own, 20)]);
  assert.deepEqual([taken(queue), taken(queue), taken(queue), taken(queue), taken(queue)], [['alike 1', 'alike 2', 'alike 3'], ['other 1'], ['other 2'], ['short 3', 'short 4'], []]);
});

test('what failed beside others is taken alone, and what left is not taken', () => {
  const queue = createQueue<string>(LIMITS);
  for (const name of ['a', 'b', 'c']) queue.add(name, [[1, 2, 3]]);
  const pieces = queue.take();
  assert.equal(pieces.length, 3);
  for (const piece of pieces) queue.again(piece);
  queue.drop('b');
  assert.deepEqual([taken(queue), taken(queue), taken(queue)], [['a'], ['c'], []]);
  assert.deepEqual(queue.waiting(), { requests: 0, tokens: 0 });
});
