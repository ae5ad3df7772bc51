// Leader election among candidates of one process, on a real API server: what only the real one can confirm of a Lease.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyFiles } from '../../local/src/apply.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { isConflict } from '../../operator/src/runtime/apiError.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { Election } from '../../operator/src/runtime/election.ts';
import type { ElectionTiming } from '../../operator/src/runtime/election.ts';
import { FencedError, fencedClient } from '../../operator/src/runtime/fence.ts';
import type { Fence } from '../../operator/src/runtime/fence.ts';
import { LEASES } from '../../operator/src/runtime/lease.ts';
import type { Lease } from '../../operator/src/runtime/lease.ts';
import { whenAborted } from '../../operator/src/runtime/clock.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import { get } from '../../operator/src/runtime/verbs.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { eventually, operatorClient, silent } from './runWorld.ts';

const AT = { namespace: 'polar-system', name: 'polar-operator' };
const FAST: ElectionTiming = { leaseDurationMs: 3000, renewDeadlineMs: 2000, retryPeriodMs: 400 };

let cluster: TestCluster;
let admin: KubeClient;
let client: KubeClient;
const candidates = new Set<Candidate>();

before(async () => {
  cluster = await startCluster({ crds: true });
  admin = await clientFor(cluster.adminConfig);
  await applyFiles(cluster.kubeconfigPath, [join(repositoryRoot, 'local/manifests/operator.yaml')]);
  client = await operatorClient(cluster, admin);
});

after(async () => {
  await Promise.all([client.close(), admin.close()]);
  await cluster.stop();
});

interface Candidate {
  readonly identity: string;
  readonly election: Election;
  readonly terms: Fence[];
  readonly stop: () => Promise<void>;
}

/** A candidate with the permissions of the manifest whose work is to wait for the end of its term. */
function candidate(identity: string, through: KubeClient = client): Candidate {
  const election = new Election({ ...AT, client: through, identity, timing: FAST, log: silent });
  const stop = new AbortController();
  const terms: Fence[] = [];
  const running = election.run(async ({ fence, signal }) => {
    terms.push(fence);
    await whenAborted(signal);
  }, stop.signal);
  const made: Candidate = {
    identity, election, terms,
    stop: async () => {
      candidates.delete(made);
      stop.abort();
      await running;
    },
  };
  candidates.add(made);
  return made;
}

const lease = (): Promise<Lease | undefined> => get<Lease>(admin, LEASES, AT);
const holder = async (): Promise<string | undefined> => (await lease())?.spec?.holderIdentity;
const patch = (spec: object): Promise<unknown> => admin.request('PATCH', pathOf(LEASES, AT), { body: { spec }, contentType: 'application/merge-patch+json' });
const remove = (): Promise<unknown> => admin.request('DELETE', pathOf(LEASES, AT));
const leads = (one: Candidate): Promise<void> => eventually(async () => {
  assert.equal(one.election.state, 'leading');
  assert.equal(await holder(), one.identity);
}, 10_000);
const open = (): string[] => [...candidates].filter(({ terms }) => terms.some((fence) => fence.isOpen)).map(({ identity }) => identity);

async function withCandidates(identities: readonly string[], check: (...made: Candidate[]) => Promise<void>): Promise<void> {
  await remove().catch(() => undefined);
  const first = candidate(identities[0] ?? '');
  await leads(first);
  const made = [first, ...identities.slice(1).map((identity) => candidate(identity))];
  try {
    await check(...made);
  } finally {
    await Promise.all([...candidates].map((one) => one.stop()));
  }
}

test('writes a Lease as client-go does', () => withCandidates(['a'], async () => {
  const { spec = {} } = await lease() as Lease;
  assert.deepEqual([spec.holderIdentity, spec.leaseDurationSeconds, spec.leaseTransitions], ['a', 3, 0]);
  for (const time of [spec.acquireTime, spec.renewTime]) assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  const renewed = await eventually(async () => {
    const { spec: next = {} } = await lease() as Lease;
    assert.notEqual(next.renewTime, spec.renewTime);
    return next;
  }, 5000);
  assert.equal(renewed.acquireTime, spec.acquireTime);
}));

test('hands over at once when the leader stops, and counts the transition', () => withCandidates(['a', 'b'], async (a, b) => {
  await sleep(500);
  const stopped = performance.now();
  await Promise.all([a?.stop(), leads(b)]);
  assert.ok(performance.now() - stopped < 2000, 'within the two seconds of a graceful stop');
  assert.equal((await lease())?.spec?.leaseTransitions, 1);
}));

test('does not lead beside a holder that only somebody else declared, until that one is not renewed', () => withCandidates(['a', 'b'], async (a, b) => {
  await patch({ holderIdentity: 'stranger' });
  const edited = performance.now();
  await eventually(() => Promise.resolve(assert.equal(a?.terms[0]?.isOpen, false)), 5000);
  assert.ok(performance.now() - edited < FAST.retryPeriodMs + 1000, 'the leader noticed');
  assert.deepEqual(open(), []);
  await eventually(() => Promise.resolve(assert.equal(open().length, 1)), 10_000);
  assert.ok(performance.now() - edited > FAST.leaseDurationMs - 100, 'nobody led while the stranger might have');
  assert.ok(a?.election.state === 'leading' || b?.election.state === 'leading');
}));

test('keeps the leader when the Lease is deleted, and nobody else leads meanwhile', () => withCandidates(['a', 'b'], async (a) => {
  const { metadata } = await lease() as Lease;
  await remove();
  for (let look = 0; look < 40; look++) {
    assert.deepEqual(open(), ['a']);
    await sleep(50);
  }
  const again = await lease();
  assert.equal(again?.spec?.holderIdentity, 'a');
  assert.notEqual(again?.metadata.uid, metadata.uid);
  assert.equal(a?.terms.length, 1, 'the same term went on');
}));

for (const [what, spec] of [
  ['without a duration', { leaseDurationSeconds: null }], ['with a duration of years', { leaseDurationSeconds: 2_000_000_000 }],
  ['without times', { renewTime: null, acquireTime: null }], ['with a renewal in the far future', { renewTime: '2999-01-01T00:00:00.000000Z' }],
  ['with negative transitions', { leaseTransitions: -5 }],
] as const) {
  test(`goes on with a Lease ${what}`, () => withCandidates(['a', 'b'], async (a) => {
    await patch(spec).catch((error: unknown) => assert.match(String(error), /422/));
    await sleep(1500);
    assert.deepEqual([open(), a?.terms.length], [['a'], 1]);
    const { spec: healed } = await lease() as Lease;
    assert.equal(healed?.leaseDurationSeconds, 3);
    assert.ok((healed?.leaseTransitions ?? -1) >= 0);
  }));
}

test('writes nothing after the renew deadline when it alone is cut off, and the other leads after the lease', () => withCandidates(['a'], async (a) => {
  await a?.stop();
  let isCut = false;
  const healed = new AbortController();
  const nothing = async (): Promise<never> => {
    await whenAborted(healed.signal);
    throw new Error('the answer never came');
  };
  const behind: KubeClient = { ...client, request: (method, path, options) => (isCut ? nothing() : client.request(method, path, options)) };
  const cutOff = candidate('cut-off', behind);
  await leads(cutOff);
  const other = candidate('other');
  await sleep(1000);
  isCut = true;
  const since = performance.now();
  const fence = cutOff.terms[0] as Fence;
  const through = fencedClient(client, fence);
  const body = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { generateName: 'late-' } };
  let wrote = 0;
  while (fence.isOpen) {
    await through.request('POST', '/api/v1/namespaces/default/configmaps', { body }).catch(() => undefined);
    wrote += 1;
    await sleep(100);
  }
  assert.ok(performance.now() - since < FAST.renewDeadlineMs + 200, 'closed at the renew deadline');
  assert.ok(wrote > 0);
  await assert.rejects(through.request('POST', '/api/v1/namespaces/default/configmaps', { body }), FencedError);
  await leads(other);
  assert.deepEqual(open(), ['other']);
  isCut = false;
  healed.abort();
}));

test('keeps leading when renewals fail until shortly before the deadline', () => withCandidates(['a'], async (a) => {
  await a?.stop();
  let isDown = false;
  const flaky: KubeClient = { ...client, request: (method, path, options) => (isDown && method === 'PUT' ? Promise.reject(new Error('refused')) : client.request(method, path, options)) };
  const hanging = candidate('hanging', flaky);
  await leads(hanging);
  isDown = true;
  const fence = hanging.terms[0] as Fence;
  while (fence.leftMs > FAST.renewDeadlineMs / 2 - 100) await sleep(20);
  isDown = false;
  await sleep(FAST.renewDeadlineMs);
  assert.deepEqual([fence.isOpen, hanging.terms.length], [true, 1]);
}));

test('lets one of many candidates lead', () => withCandidates(['a'], async (a) => {
  await a?.stop();
  const many = Array.from({ length: 8 }, (_, index) => candidate(`c${index}`));
  await eventually(() => Promise.resolve(assert.equal(open().length, 1)), 10_000);
  for (let round = 0; round < 3; round++) {
    const [leader] = many.filter(({ election }) => election.state === 'leading');
    await leader?.stop();
    await eventually(() => Promise.resolve(assert.equal(open().length, 1)), 10_000);
  }
}));

test('refuses a renewal from an outdated Lease, and one onto a namesake', () => withCandidates(['a'], async (a) => {
  await a?.stop();
  const old = await lease() as Lease;
  const put = (object: Lease): Promise<Lease> => client.request<Lease>('PUT', pathOf(LEASES, AT), { body: { apiVersion: LEASES.apiVersion, kind: 'Lease', ...object, spec: { ...object.spec, holderIdentity: 'x' } } });
  await put(old);
  await assert.rejects(put(old), isConflict);
  await remove();
  await assert.rejects(put(old), /40[49]/);
  assert.equal(await lease(), undefined, 'and did not create it');
}));
