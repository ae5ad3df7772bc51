import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { KubeObject } from './object.ts';
import { Store } from './store.ts';

const object = (name: string, uid: string, colour = 'red'): KubeObject => ({ metadata: { name, namespace: 'n', uid, labels: { colour } } });
const byColour = { colour: (one: KubeObject): string[] => [one.metadata.labels?.['colour'] ?? ''] };

test('finds objects by name, by UID and by index, and a recreated namesake only under its new UID', () => {
  const store = new Store(byColour);
  store.set(object('a', '1'));
  const { old, current } = store.set(object('a', '2', 'blue'));
  assert.deepEqual([old?.metadata.uid, current?.metadata.uid], ['1', '2']);
  assert.equal(store.byUid('1'), undefined);
  assert.equal(store.get('n', 'a')?.metadata.uid, '2');
  assert.deepEqual([store.byIndex('colour', 'red').length, store.byIndex('colour', 'blue').length], [0, 1]);
});

test('hands out objects that nobody can change', () => {
  const store = new Store();
  store.set(object('a', '1'));
  assert.throws(() => {
    (store.get('n', 'a')?.metadata.labels as Record<string, string>)['colour'] = 'green';
  }, TypeError);
});

test('reports what a full list removes, changes and keeps', () => {
  const store = new Store();
  store.replace([object('a', '1'), object('b', '2')]);
  const changes = store.replace([object('b', '3'), object('c', '4')]);
  assert.deepEqual(changes.map(({ old, current }) => [old?.metadata.uid, current?.metadata.uid]), [['1', undefined], ['2', '3'], [undefined, '4']]);
});

test('names the indexes there are when asked for another', () => {
  assert.throws(() => new Store(byColour).byIndex('size', 'x'), /no index "size": declared are colour/);
});

test('has the same indexes as one built anew, after any changes', () => {
  const change = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), uid: fc.constantFrom('1', '2', '3'), colour: fc.constantFrom('red', 'blue'), remove: fc.boolean() });
  fc.assert(fc.property(fc.array(change), (changes) => {
    const store = new Store(byColour);
    for (const { name, uid, colour, remove } of changes) {
      if (remove) store.delete(`n/${name}`);
      else store.set(object(name, `${name}${uid}`, colour));
    }
    for (const colour of ['red', 'blue']) assert.deepEqual(store.byIndex('colour', colour), store.list().filter((one) => one.metadata.labels?.['colour'] === colour));
    for (const one of store.list()) assert.equal(store.byUid(one.metadata.uid ?? ''), one);
  }));
});
