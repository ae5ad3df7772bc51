// The runtime against a real API server: what only the real one can confirm.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ApiError, isConflict } from '../../operator/src/runtime/apiError.ts';
import { ForeignObjectError, performAll } from '../../operator/src/runtime/apply.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { eventRecorder } from '../../operator/src/runtime/events.ts';
import type { KubeObject, OwnerReference, Resource } from '../../operator/src/runtime/object.ts';
import { Reflector } from '../../operator/src/runtime/reflector.ts';
import { apply, create, get, list, remove } from '../../operator/src/runtime/verbs.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { eventually, silent } from './runWorld.ts';

const CONFIG_MAPS: Resource = { apiVersion: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true };
const EVENTS: Resource = { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events', namespaced: true };

type Data = KubeObject & { readonly data?: Record<string, string> };

let cluster: TestCluster;
let client: KubeClient;

before(async () => {
  cluster = await startCluster({ restart: true });
  client = await clientFor(cluster.adminConfig);
});

after(async () => {
  await client.close();
  await cluster.stop();
});

const configMap = (namespace: string, name: string, data: Record<string, string> = {}, owner?: OwnerReference): Data =>
  ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace, ...(owner === undefined ? {} : { ownerReferences: [owner] }) }, data });

test('lists page by page and gives items their kind', async () => {
  const namespace = await cluster.namespace('pages');
  for (const name of ['a', 'b', 'c', 'd', 'e']) await create(client, CONFIG_MAPS, configMap(namespace, name));
  const { items } = await list<Data>(client, CONFIG_MAPS, { namespace, limit: 2 });
  assert.deepEqual(items.filter((item) => item.metadata.name.length === 1).map((item) => `${item.kind ?? ''} ${item.metadata.name}`), ['a', 'b', 'c', 'd', 'e'].map((name) => `ConfigMap ${name}`));
});

test('never deletes a namesake, and takes an object already gone for success', async () => {
  const namespace = await cluster.namespace('delete');
  const { metadata } = await create(client, CONFIG_MAPS, configMap(namespace, 'a'));
  await assert.rejects(remove(client, CONFIG_MAPS, { namespace, name: 'a', uid: '00000000-0000-0000-0000-000000000000' }), isConflict);
  await remove(client, CONFIG_MAPS, { namespace, name: 'a', uid: metadata.uid ?? '' });
  await remove(client, CONFIG_MAPS, { namespace, name: 'a', uid: metadata.uid ?? '' });
});

test('applies only onto the object it saw', async () => {
  const namespace = await cluster.namespace('apply');
  const { metadata } = await create(client, CONFIG_MAPS, configMap(namespace, 'a', { x: '1' }));
  const wanted = configMap(namespace, 'a', { x: '2' });
  const withUid = (uid: string): Data => ({ ...wanted, metadata: { ...wanted.metadata, uid } });
  await assert.rejects(apply(client, CONFIG_MAPS, withUid('00000000-0000-0000-0000-000000000000'), { fieldManager: 'm' }), isConflict);
  assert.deepEqual((await apply(client, CONFIG_MAPS, withUid(metadata.uid ?? ''), { fieldManager: 'm' })).data, { x: '2' });
});

test('takes its own object for created and names a foreign one, untouched', async () => {
  const namespace = await cluster.namespace('owner');
  const applier = { client, resources: [CONFIG_MAPS], fieldManager: 'm' };
  const owner = (uid: string): OwnerReference => ({ apiVersion: 'v1', kind: 'Thing', name: 'mine', uid, controller: true });
  const mine = configMap(namespace, 'a', { by: 'me' }, owner('uid-1'));
  assert.equal(await performAll(applier, [{ do: 'create', object: mine }, { do: 'create', object: mine }]), undefined);
  const error = await performAll(applier, [{ do: 'create', object: configMap(namespace, 'a', { by: 'you' }, owner('uid-2')) }]);
  assert.ok(error instanceof ForeignObjectError);
  assert.equal(error.message, `ConfigMap "${namespace}/a" already exists and is controlled by Thing "mine" (uid uid-1); delete or rename it`);
  assert.deepEqual((await get<Data>(client, CONFIG_MAPS, { namespace, name: 'a' }))?.data, { by: 'me' });
});

test('counts the same event instead of writing it again, also after a restart of the operator', async () => {
  const namespace = await cluster.namespace('events');
  const about = await create(client, CONFIG_MAPS, configMap(namespace, 'a'));
  const note = { type: 'Warning', reason: 'Broken', message: 'm'.repeat(2000) } as const;
  const first = eventRecorder(client, 'polar-operator', silent);
  await first.record(about, [note, note]);
  await eventRecorder(client, 'polar-operator', silent).record(about, [note]);
  const { items } = await list<KubeObject & { note: string; series?: { count: number } }>(client, EVENTS, { namespace });
  assert.deepEqual(items.map(({ series, note: { length } }) => [series?.count, length]), [[3, 1024]]);
});

test('records what it can when events are refused, and fails nobody', async () => {
  const about = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a', namespace: 'no-such-namespace', uid: 'u' } };
  await eventRecorder(client, 'polar-operator', silent).record(about, [{ type: 'Normal', reason: 'Fine', message: 'm' }]);
});

test('sees changes again after the API server was killed, and a namesake made meanwhile', async () => {
  const namespace = await cluster.namespace('restart');
  const old = await create(client, CONFIG_MAPS, configMap(namespace, 'a'));
  const reflector = new Reflector<Data>({ client, resource: CONFIG_MAPS, namespace, log: silent, timing: { minBackoffMs: 50, maxBackoffMs: 500 } });
  const keys: string[] = [];
  reflector.subscribe((object) => [object.metadata.uid ?? ''], (key) => keys.push(key));
  const stop = new AbortController();
  const running = reflector.run(stop.signal);
  await eventually(() => (reflector.store.get(namespace, 'a') === undefined ? Promise.reject(new Error('not seen')) : Promise.resolve()));
  assert.ok(cluster.signal('kube-apiserver', 'SIGKILL'));
  await assert.rejects(get(client, CONFIG_MAPS, { namespace, name: 'a' }), (error: unknown) => !(error instanceof ApiError));
  await eventually(() => remove(client, CONFIG_MAPS, { namespace, name: 'a', uid: old.metadata.uid ?? '' }));
  const next = await eventually(() => create(client, CONFIG_MAPS, configMap(namespace, 'a')));
  await eventually(() => (reflector.store.byUid(next.metadata.uid ?? '') === undefined ? Promise.reject(new Error('not seen')) : Promise.resolve()));
  assert.equal(reflector.store.byUid(old.metadata.uid ?? ''), undefined);
  assert.ok(keys.includes(old.metadata.uid ?? '') && keys.includes(next.metadata.uid ?? ''));
  stop.abort();
  await running;
});
