// Replicas of the operator as they run in a cluster: killed, stopped, frozen and replaced, on a real API server with its Job controller.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyFiles } from '../../local/src/apply.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { holderNow, leaderAmong, operatorAccount, startReplica, untilReady } from './replicas.ts';
import type { Replica } from './replicas.ts';
import { RunWorld, eventually } from './runWorld.ts';

// What is promised with 15 / 10 / 2 s.
const CRASH_MS = 17_000;
const GRACEFUL_MS = 2_000;

let cluster: TestCluster;
let admin: KubeClient;
let world: RunWorld;
let replicas: Replica[] = [];
let started = 0;

before(async () => {
  cluster = await startCluster({ crds: true, controllers: true, restart: true, audit: true });
  admin = await clientFor(cluster.adminConfig);
  await applyFiles(cluster.kubeconfigPath, [join(repositoryRoot, 'local/manifests/operator.yaml')]);
});

beforeEach(async () => {
  world = new RunWorld(admin, await cluster.namespace('ha'));
  await world.claims();
});

afterEach(async (context) => {
  if ('passed' in context && context.passed === false) for (const { name, logLines } of replicas) console.error(name, JSON.stringify(logLines().slice(-15), null, 1));
  for (const replica of replicas) replica.signal('SIGKILL');
  replicas = [];
  await world.stop();
  // The next test's replicas need not wait for the dead.
  await eventually(() => admin.request('DELETE', '/apis/coordination.k8s.io/v1/namespaces/polar-system/leases/polar-operator').catch((error: unknown) => assert.match(String(error), /404/)));
});

after(async () => {
  await admin.close();
  await cluster.stop();
});

async function start(count: number, args: readonly string[] = []): Promise<Replica[]> {
  const names = Array.from({ length: count }, () => `replica-${started += 1}`);
  const made = await Promise.all(names.map(async (name) => startReplica({ account: await operatorAccount(cluster, admin, name), name, dir: cluster.dir, args })));
  replicas.push(...made);
  await Promise.all(made.map((replica) => untilReady(replica)));
  return made;
}

function jobOf(run: string, withinMs = 60_000): Promise<void> {
  return eventually(async () => assert.ok((await world.jobs()).some(({ metadata: { name } }) => name.startsWith(`${run}-`)), `a Job of ${run}`), withinMs);
}

/** Creates a run and waits for its Job: somebody leads and works. */
async function proveWork(name: string): Promise<void> {
  await world.pretrain(name);
  await jobOf(name);
}

const others = (leader: Replica): Replica[] => replicas.filter((replica) => replica !== leader && replica.isAlive());

interface AuditLine {
  readonly verb: string;
  readonly user: { readonly username: string; readonly extra?: Readonly<Record<string, readonly string[]>> };
  readonly requestReceivedTimestamp: string;
  readonly objectRef?: { readonly resource?: string; readonly namespace?: string; readonly name?: string; readonly subresource?: string };
  readonly responseStatus?: { readonly code?: number };
  readonly requestURI: string;
}

/** What the operators of this test's namespace did, in the words of the API server. */
function audited(): readonly AuditLine[] {
  const lines = readFileSync(join(cluster.dir, 'logs', 'audit.log'), 'utf8').split('\n').filter((line) => line.includes('system:serviceaccount:polar-system:polar-operator') && line.includes(world.namespace));
  return lines.map((line) => JSON.parse(line) as AuditLine);
}

/** Creations that were answered so, by resource and name. */
function creations(code: number): string[] {
  return audited().filter((line) => line.verb === 'create' && line.responseStatus?.code === code && line.objectRef?.resource !== 'events')
    .map(({ objectRef }) => `${objectRef?.resource ?? ''}/${objectRef?.name ?? ''}`).sort();
}

function assertNothingTwice(): void {
  const made = creations(201);
  assert.deepEqual(made, [...new Set(made)], 'no object was created twice');
}

test('goes on within 17 seconds after the leader is killed, with caches that were already full', async () => {
  await start(2);
  const leader = await leaderAmong(admin, replicas);
  const [other] = others(leader);
  await proveWork('before');
  const lists = await other?.metric('polar_cache_lists_total');
  leader.signal('SIGKILL');
  const killed = performance.now();
  await world.pretrain('during');
  await leaderAmong(admin, others(leader));
  await jobOf('during');
  assert.ok(performance.now() - killed < CRASH_MS, `took ${Math.round(performance.now() - killed)} ms`);
  assert.equal(await other?.metric('polar_cache_lists_total'), lists, 'the standby listed nothing anew');
  assert.equal(await other?.metric('leader_election_master_status'), 1);
  assertNothingTwice();
});

test('goes on within 2 seconds after the leader is asked to stop, which first says it is not ready and ends well', async () => {
  await start(2);
  const leader = await leaderAmong(admin, replicas);
  await proveWork('before');
  const stopped = performance.now();
  leader.signal('SIGTERM');
  await world.pretrain('during');
  await leaderAmong(admin, others(leader));
  assert.ok(performance.now() - stopped < GRACEFUL_MS, `took ${Math.round(performance.now() - stopped)} ms`);
  await jobOf('during');
  const readiness = await leader.ask('/readyz');
  assert.ok(readiness === undefined || (readiness.status === 503 && readiness.text.includes('stopping')));
  await leader.ended;
  assert.equal(leader.process.exitCode, 0);
  assert.ok(performance.now() - stopped < 25_000, 'within the grace period of the pod');
  assertNothingTwice();
});

/** Requests of a replica that changed, or would have changed, something of this test's, as they reached the API server after that time. */
function writesOf(replica: Replica, since: number): string[] {
  return audited().filter(({ verb, user, requestReceivedTimestamp }) => ['create', 'update', 'patch', 'delete'].includes(verb)
    && user.extra?.['authentication.kubernetes.io/credential-id']?.includes(replica.credential) === true && Date.parse(requestReceivedTimestamp) > since)
    .map(({ verb, requestURI, requestReceivedTimestamp }) => `${requestReceivedTimestamp} ${verb} ${requestURI}`);
}

test('refuses the writes of a leader that was frozen in the middle of its work for longer than its lease and then goes on', async () => {
  await start(2);
  const zombie = await leaderAmong(admin, replicas);
  await proveWork('before');
  assert.notDeepEqual(writesOf(zombie, 0), [], 'the audit log knows it');
  await Promise.all(Array.from({ length: 20 }, (_, index) => world.pretrain(`meanwhile-${index}`)));
  await eventually(async () => assert.ok((await world.jobs()).length > 2));
  zombie.signal('SIGSTOP');
  const frozen = Date.now();
  assert.ok((await world.jobs()).length < 21, 'it had not done all of its work');
  await leaderAmong(admin, others(zombie));
  await world.patch('before', { suspend: true });
  for (let index = 0; index < 20; index++) await jobOf(`meanwhile-${index}`);
  zombie.signal('SIGCONT');
  await eventually(async () => assert.equal(await zombie.metric('leader_election_master_status'), 0));
  for (let index = 0; index < 5; index++) await world.pretrain(`afterwards-${index}`);
  await jobOf('afterwards-4');
  await untilReady(zombie);
  // What it had handed to the kernel before went out within moments.
  assert.deepEqual(writesOf(zombie, frozen + 1000), [], 'nothing of the frozen one reached the API server afterwards');
  assert.ok(zombie.logLines().some(({ msg }) => msg === 'leadership lost'));
  assert.ok(zombie.isAlive(), 'it stands by in the same process');
  assert.notEqual(await holderNow(admin), zombie.identity);
  assertNothingTwice();
});

test('outlives an API server that hangs and one that is killed: not ready, but alive, and then goes on', async () => {
  await start(2);
  await leaderAmong(admin, replicas);
  await proveWork('before');
  assert.ok(cluster.signal('kube-apiserver', 'SIGSTOP'));
  const frozen = performance.now();
  const [first] = replicas;
  await eventually(async () => assert.match((await first?.ask('/readyz'))?.text ?? '', /lease: not seen for/), 40_000);
  while (performance.now() - frozen < 22_000) {
    for (const replica of replicas) assert.equal((await replica.ask('/healthz'))?.status, 200, replica.name);
    await sleep(500);
  }
  assert.ok(cluster.signal('kube-apiserver', 'SIGCONT'));
  await Promise.all(replicas.map((replica) => untilReady(replica)));
  await eventually(() => proveWork('after-freeze'));
  assert.ok(cluster.signal('kube-apiserver', 'SIGKILL'));
  await sleep(500);
  await Promise.all(replicas.map((replica) => untilReady(replica)));
  await eventually(() => world.pretrain('after-kill'));
  await jobOf('after-kill');
  assert.ok(replicas.every((replica) => replica.isAlive()), 'no replica ended');
  assertNothingTwice();
});

test('creates nothing twice while replicas are replaced one by one under load', async () => {
  await start(2);
  await leaderAmong(admin, replicas);
  const load = createMany('rolled', 40, 150);
  for (let round = 0; round < 3; round++) {
    const [oldest] = replicas.filter((replica) => replica.isAlive());
    await start(1);
    oldest?.signal('SIGTERM');
    await oldest?.ended;
    assert.equal(oldest?.process.exitCode, 0);
  }
  await load;
  await allHaveOneJob('rolled', 40);
});

test('creates nothing twice while three replicas are killed at random', async () => {
  const quick = ['--leader-elect-lease-duration', '6', '--leader-elect-renew-deadline', '4', '--leader-elect-retry-period', '0.8'];
  await start(3, quick);
  await leaderAmong(admin, replicas);
  const seed = Number(process.env['POLAR_TEST_SEED'] ?? Date.now() % 100_000);
  console.error(`POLAR_TEST_SEED=${seed}`);
  const random = randomFrom(seed);
  const load = createMany('killed', 40, 300);
  for (let round = 0; round < 5; round++) {
    await sleep(500 + 2500 * random());
    const alive = replicas.filter((replica) => replica.isAlive());
    alive[Math.floor(random() * alive.length)]?.signal('SIGKILL');
    await start(1, quick);
  }
  await load;
  await allHaveOneJob('killed', 40);
});

async function createMany(prefix: string, count: number, everyMs: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    await world.pretrain(`${prefix}-${index}`, { workers: { replicas: 1 } });
    await sleep(everyMs);
  }
}

async function allHaveOneJob(prefix: string, count: number): Promise<void> {
  const wanted = Array.from({ length: count }, (_, index) => `${prefix}-${index}-pretrain-1`).sort();
  await eventually(async () => assert.deepEqual((await world.jobs()).map((job) => job.metadata.name).sort(), wanted), 90_000);
  assertNothingTwice();
  assert.deepEqual(creations(201).filter((name) => name.startsWith('jobs/')), wanted.map((name) => `jobs/${name}`));
  console.error(`${count} Jobs by ${audited().filter(({ verb }) => verb === 'create').length} requests to create; ${creations(409).length} of them were refused because the object was there`);
}

/** Numbers in [0, 1) that a seed determines (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
