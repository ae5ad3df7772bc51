// A cache of something that is installed, used, removed and installed again while the operator runs.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { OptionalReflector } from '../../operator/src/runtime/optional.ts';
import { create } from '../../operator/src/runtime/verbs.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { eventually, silent } from './runWorld.ts';

const PARTS: Resource = { apiVersion: 'example.com/v1', kind: 'Part', plural: 'parts', namespaced: true };
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const definition = {
  apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'parts.example.com' },
  spec: { group: 'example.com', scope: 'Namespaced', names: { kind: 'Part', plural: 'parts', singular: 'part', listKind: 'PartList' }, versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } }] },
};

let cluster: TestCluster;
let admin: KubeClient;

before(async () => {
  cluster = await startCluster();
  admin = await clientFor(cluster.adminConfig);
});

after(async () => {
  await admin.close();
  await cluster.stop();
});

const part = (name: string): Promise<KubeObject> =>
  eventually(() => create(admin, PARTS, { apiVersion: PARTS.apiVersion, kind: PARTS.kind, metadata: { name, namespace: 'default' } }));

const until = (check: () => void): Promise<void> => eventually(() => Promise.resolve().then(check));

test('a cache holds nothing and counts as synced while its resource is not served, and follows when that changes', async () => {
  const stop = new AbortController();
  const cache = new OptionalReflector({ client: admin, resource: PARTS, log: silent, lookMs: 200, timing: { minBackoffMs: 20, maxBackoffMs: 100 } });
  const told: string[] = [];
  cache.subscribe((one) => [one.metadata.name], (key) => told.push(key));
  assert.equal(cache.hasSynced, false, 'nobody has been asked yet');
  const running = cache.run(stop.signal);
  await until(() => assert.ok(cache.hasSynced));
  assert.deepEqual([cache.isServed, cache.store.size], [false, 0]);

  await admin.request('POST', DEFINITIONS, { body: definition });
  await part('first');
  await until(() => assert.deepEqual([cache.isServed, cache.store.size, told], [true, 1, ['first']]));

  await admin.request('DELETE', `${DEFINITIONS}/parts.example.com`);
  await until(() => assert.deepEqual([cache.isServed, cache.hasSynced], [false, true]));

  await eventually(() => admin.request('POST', DEFINITIONS, { body: definition }));
  await part('second');
  await until(() => assert.deepEqual([cache.isServed, cache.store.list().map(({ metadata }) => metadata.name)], [true, ['second']]));
  stop.abort();
  await running;
});
