import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WorkQueue } from './queue.ts';

async function drained(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = [];
  while (queue.length > 0) {
    const key = await queue.get();
    if (key === undefined) break;
    keys.push(key);
    queue.done(key);
  }
  return keys;
}

test('gives a key once however often it was added', async () => {
  const queue = new WorkQueue('t');
  for (const key of ['a', 'b', 'a', 'a']) queue.add(key);
  assert.deepEqual(await drained(queue), ['a', 'b']);
});

test('gives a key again after work when it was added meanwhile, and not during work', async () => {
  const queue = new WorkQueue('t');
  queue.add('a');
  assert.equal(await queue.get(), 'a');
  queue.add('a');
  queue.add('a');
  assert.equal(queue.length, 0);
  queue.done('a');
  assert.deepEqual(await drained(queue), ['a']);
});

test('wakes a waiting worker and lets all go at shutdown', async () => {
  const queue = new WorkQueue('t');
  const [first, second] = [queue.get(), queue.get()];
  queue.add('a');
  assert.equal(await first, 'a');
  queue.shutDown();
  assert.equal(await second, undefined);
  queue.add('b');
  assert.equal(await queue.get(), undefined);
});

test('adds a delayed key when its earliest delay has passed', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const queue = new WorkQueue('t');
  queue.addAfter('a', 1000);
  queue.addAfter('a', 100);
  queue.addAfter('a', 5000);
  t.mock.timers.tick(99);
  assert.equal(queue.length, 0);
  t.mock.timers.tick(1);
  assert.equal(queue.length, 1);
});

test('keeps a delay that is longer than a timer can be', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  const queue = new WorkQueue('t');
  queue.addAfter('a', 2 ** 31 + 5000);
  t.mock.timers.tick(2 ** 31 - 1);
  assert.equal(queue.length, 0);
  t.mock.timers.tick(5001);
  assert.equal(queue.length, 1);
});

test('doubles the delay of a failing key until it is forgotten, up to the cap, and spares other keys', () => {
  const queue = new WorkQueue('t', { minMs: 10, maxMs: 70 });
  assert.deepEqual([1, 2, 3, 4, 5].map(() => queue.addRateLimited('a')), [10, 20, 40, 70, 70]);
  assert.equal(queue.addRateLimited('b'), 10);
  queue.forget('a');
  assert.equal(queue.addRateLimited('a'), 10);
  queue.shutDown();
});

test('slows down when very many keys fail together', () => {
  const queue = new WorkQueue('t', { minMs: 1, maxMs: 10, perSecond: 10, burst: 5 });
  const delays = Array.from({ length: 15 }, (_, index) => queue.addRateLimited(`key-${index}`));
  assert.ok((delays[4] ?? 0) <= 10 && (delays[14] ?? 0) > 800, delays.join(' '));
  queue.shutDown();
});

test('refuses done for a key nobody has', () => {
  assert.throws(() => new WorkQueue('t').done('a'), /key "a" is not being worked on/);
});

type Step = { readonly do: 'add' | 'get' | 'done'; readonly key: string };

test('never gives a key to two workers, loses none and makes up none, whatever the order of calls', async () => {
  const key = fc.constantFrom('a', 'b', 'c');
  const step: fc.Arbitrary<Step> = fc.record({ do: fc.constantFrom('add', 'get', 'done'), key });
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const queue = new WorkQueue('t');
    const owed = new Set<string>();
    const held = new Set<string>();
    const take = async (): Promise<void> => {
      const got = (await queue.get()) ?? '';
      assert.ok(!held.has(got) && owed.has(got));
      owed.delete(got);
      held.add(got);
    };
    for (const { do: what, key: on } of steps) {
      if (what === 'add') {
        queue.add(on);
        owed.add(on);
      } else if (what === 'get' && queue.length > 0) await take();
      else if (what === 'done' && held.delete(on)) queue.done(on);
    }
    for (const left of held) queue.done(left);
    held.clear();
    while (queue.length > 0) await take();
    assert.deepEqual([...owed], []);
  }));
});
