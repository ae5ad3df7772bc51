import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addressFor } from './addresses.ts';
import { hostsText } from './hosts.ts';
import type { NamedPod } from './hosts.ts';
import type { Service } from './objects.ts';

const aPod = (namespace: string, name: string, ip: string, more: { spec?: object; labels?: Record<string, string>; ready?: boolean } = {}): NamedPod => ({
  pod: { metadata: { name, namespace, uid: name, labels: more.labels ?? {} }, spec: { containers: [], ...more.spec } },
  ip, ready: more.ready ?? true,
});
const aService = (namespace: string, name: string, spec: object): Service => ({ metadata: { name, namespace, uid: name }, spec });

/** The addresses `name` resolves to, in file order, as a resolver of files reads them. */
const resolve = (text: string, name: string): string[] =>
  text.split('\n').filter((line) => line.split(/\s+/).slice(1).includes(name)).map((line) => line.split('\t')[0] ?? '');

describe('the hosts file of a namespace', () => {
  const gang = [0, 1].map((index) => aPod('a', `run-${index}-x`, `127.64.0.${index + 1}`, { spec: { hostname: `run-${index}`, subdomain: 'run' }, labels: { app: 'run' } }));

  it('knows a gang member by every form of hostname.subdomain', () => {
    const text = hostsText('a', gang, []);
    for (const name of ['run-1.run', 'run-1.run.a', 'run-1.run.a.svc', 'run-1.run.a.svc.cluster.local', 'run-1', 'run-1-x']) {
      assert.deepEqual(resolve(text, name), ['127.64.0.2'], name);
    }
  });

  it('keeps short names inside their own namespace', () => {
    const text = hostsText('b', gang, []);
    assert.deepEqual(resolve(text, 'run-1.run'), []);
    assert.deepEqual(resolve(text, 'run-1'), []);
    assert.deepEqual(resolve(text, 'run-1.run.a.svc'), ['127.64.0.2']);
  });

  it('gives a ClusterIP Service one ready pod and a headless one all of them', () => {
    const pods = [aPod('a', 'late', '127.64.1.1', { labels: { app: 'web' }, ready: false }), aPod('a', 'two', '127.64.1.3', { labels: { app: 'web' } }), aPod('a', 'one', '127.64.1.2', { labels: { app: 'web' } })];
    const text = hostsText('a', pods, [
      aService('a', 'web', { selector: { app: 'web' }, clusterIP: '10.96.0.5' }),
      aService('a', 'all', { selector: { app: 'web' }, clusterIP: 'None' }),
      aService('a', 'early', { selector: { app: 'web' }, clusterIP: 'None', publishNotReadyAddresses: true }),
    ]);
    assert.deepEqual(resolve(text, 'web.a.svc'), ['127.64.1.2']);
    assert.deepEqual(resolve(text, 'all'), ['127.64.1.2', '127.64.1.3']);
    assert.deepEqual(resolve(text, 'early').length, 3);
  });

  it('does not let a Service without a selector, or of another namespace, select anything', () => {
    const text = hostsText('a', gang, [aService('a', 'bare', {}), aService('b', 'other', { selector: { app: 'run' } })]);
    assert.deepEqual([resolve(text, 'bare'), resolve(text, 'other.b.svc')], [[], []]);
  });
});

describe('addresses', () => {
  it('are stable, in 127.64.0.0/10, and never given twice', () => {
    const taken = new Set<string>();
    for (let index = 0; index < 2000; index += 1) {
      const address = addressFor(`uid-${index}`, taken);
      assert.match(address, /^127\.(6[4-9]|[789]\d|1[01]\d|12[0-7])\.\d+\.\d+$/);
      assert.ok(!taken.has(address));
      taken.add(address);
    }
    assert.equal(addressFor('uid-7', new Set()), addressFor('uid-7', new Set()));
    assert.notEqual(addressFor('uid-7', new Set([addressFor('uid-7', new Set())])), addressFor('uid-7', new Set()));
  });
});
