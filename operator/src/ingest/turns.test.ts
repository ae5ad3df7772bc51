import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turns } from './turns.ts';
import { timerWheel } from './wheel.ts';

/** Clients of which each asks again as soon as it was served; returns who was served, in order, after so many turns. */
async function served(turns: Turns, clients: readonly { readonly name: string; readonly isUrgent?: boolean }[], count: number): Promise<string[]> {
  const order: string[] = [];
  await new Promise<void>((resolve) => {
    const ask = (client: (typeof clients)[number]): void => {
      turns.take(() => {
        order.push(client.name);
        if (order.length === count) resolve();
        if (order.length < count) setImmediate(() => ask(client));
        return Promise.resolve();
      }, client.isUrgent === true);
    };
    for (const client of clients) ask(client);
  });
  return order;
}

const share = (order: readonly string[], name: string): number => order.filter((one) => one === name).length;

test('every run that always has news is written as often as any other', async () => {
  const wheel = timerWheel(1);
  const order = await served(new Turns({ writesPerSecond: 1000, writesAtOnce: 4 }, wheel), Array.from({ length: 10 }, (_, i) => ({ name: `run-${i}` })), 200);
  for (let i = 0; i < 10; i++) assert.ok(Math.abs(share(order, `run-${i}`) - 20) <= 1, `run-${i}: ${share(order, `run-${i}`)} of 200`);
  wheel.close();
});

test('urgent writes go first but leave the others every second turn', async () => {
  const wheel = timerWheel(1);
  const clients = [{ name: 'urgent', isUrgent: true }, { name: 'urgent', isUrgent: true }, { name: 'urgent', isUrgent: true }, { name: 'other' }, { name: 'other' }];
  const order = await served(new Turns({ writesPerSecond: 2000, writesAtOnce: 1 }, wheel), clients, 100);
  assert.ok(share(order, 'urgent') >= 50 && share(order, 'other') >= 40, order.join(' '));
  wheel.close();
});

test('a run that becomes urgent while it waits is moved up', async () => {
  const wheel = timerWheel(1);
  const turns = new Turns({ writesPerSecond: 100, writesAtOnce: 1 }, wheel);
  const order: string[] = [];
  const wait = (name: string): Promise<void> => {
    order.push(name);
    return new Promise((resolve) => setTimeout(resolve, 5));
  };
  turns.take(() => wait('first'), false);
  for (const name of ['a', 'b', 'c']) turns.take(() => wait(name), false);
  turns.take(() => wait('late'), false)();
  while (order.length < 5) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(order, ['first', 'late', 'a', 'b', 'c']);
  wheel.close();
});

test('no more writes than allowed go per second, or at once', async () => {
  const wheel = timerWheel(1);
  let [underWay, most] = [0, 0];
  const turns = new Turns({ writesPerSecond: 200, writesAtOnce: 3 }, wheel);
  let done = 0;
  const at = performance.now();
  await new Promise<void>((resolve) => {
    for (let i = 0; i < 300; i++) {
      turns.take(async () => {
        most = Math.max(most, ++underWay);
        await new Promise((after) => setTimeout(after, 2));
        underWay -= 1;
        if (++done === 300) resolve();
      }, false);
    }
  });
  assert.equal(most, 3);
  // Half a second's worth goes at once, the other 200 take a second.
  assert.ok(performance.now() - at > 900, `${performance.now() - at} ms`);
  wheel.close();
});

test('a wheel calls what waits once, in time, and not what was cancelled', async () => {
  const wheel = timerWheel(5);
  const [called, startedAt] = [[] as [string, number][], performance.now()];
  for (const ms of [0, 20, 60, 150]) wheel.after(ms, () => called.push([`after ${ms}`, performance.now() - startedAt - ms]));
  wheel.after(30, () => called.push(['cancelled', 0]))();
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.deepEqual(called.map(([name]) => name), ['after 0', 'after 20', 'after 60', 'after 150']);
  for (const [name, late] of called) assert.ok(late >= 0, `${name} came ${-late} ms early`);
  wheel.close();
});
