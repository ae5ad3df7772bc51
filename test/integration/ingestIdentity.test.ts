// Who may report: every link from a token to the current attempt of a run, broken one at a time. Real tokens bound to
// real pods, real TLS, and the operator with the permissions of its manifest.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ensureCertificate, isUsable, issue, servingNames } from '../../operator/src/ingest/certificate.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import { remove } from '../../operator/src/runtime/verbs.ts';
import { TIMELY } from './ingestWait.ts';
import { PODS, PRETRAINS, Trainer, aReplica, report, setUp } from './ingestWorld.ts';
import type { Replica, SetUp, World } from './ingestWorld.ts';

let set: SetUp;
let world: World;
let ingest: Replica;

before(async () => {
  set = await setUp();
  world = set.world;
  ingest = await aReplica(set.operator);
}, TIMELY);

after(() => set.tearDown(), TIMELY);

describe('a caller', () => {
  const refused = async (authorization: string | undefined, code: string | readonly string[], details: RegExp): Promise<void> => {
    const refusal = await new Trainer(ingest, authorization).refusal();
    assert.ok([code].flat().includes(refusal.code), `${refusal.code}: ${refusal.details}`);
    assert.match(refusal.details, details);
  };

  test('without a token is refused', TIMELY, () => refused(undefined, 'UNAUTHENTICATED', /expected "authorization: Bearer/));
  test('with "Bearer nothing" is refused', TIMELY, () => refused('Bearer nothing', 'UNAUTHENTICATED', /token refused/));
  test('with an empty token is refused', TIMELY, () => refused('Bearer ', 'UNAUTHENTICATED', /expected/));
  test('with another scheme is refused', TIMELY, () => refused('Basic YTpi', 'UNAUTHENTICATED', /expected/));

  test('with two tokens is refused, even when one of them is good', TIMELY, async () => {
    const { token } = await world.training('two');
    // What a proxy makes of two headers; clients refuse to send them.
    await refused(`Bearer ${token}, Bearer ${token}`, 'UNAUTHENTICATED', /expected/);
  });

  /** The claims of a good token with some of them changed, signed by nobody who may. */
  const forged = (token: string, change: object): string => {
    const [head = '', payload = '', signature = ''] = token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as object;
    return [head, Buffer.from(JSON.stringify({ ...claims, ...change })).toString('base64url'), signature].join('.');
  };

  test('with an expired token is refused unread, and with one whose end was moved after reading', TIMELY, async () => {
    const { token } = await world.training('expired');
    const seconds = Math.floor(Date.now() / 1000);
    await refused(`Bearer ${forged(token, { exp: seconds - 3600 })}`, 'UNAUTHENTICATED', /expired/);
    await refused(`Bearer ${forged(token, { exp: seconds + 7200 })}`, 'UNAUTHENTICATED', /token refused for audience/);
  });

  test('with a token made out to the pod of another is refused', TIMELY, async () => {
    const [mine, other] = [await world.training('forger'), await world.training('forgery')];
    const pod = { name: other.pod.metadata.name, uid: other.pod.metadata.uid };
    await refused(`Bearer ${forged(mine.token, { 'kubernetes.io': { namespace: world.namespace, pod, serviceaccount: { name: 'default', uid: 'x' } } })}`, 'UNAUTHENTICATED', /token refused for audience/);
  });

  test('with a token for another audience is refused', TIMELY, async () => {
    const { pod } = await world.training('audience');
    await refused(`Bearer ${await world.token(pod, 'https://kubernetes.default.svc')}`, 'UNAUTHENTICATED', /token refused/);
  });

  test('with a token that is bound to no pod is refused', TIMELY, async () => {
    await refused(`Bearer ${await world.token(undefined)}`, 'PERMISSION_DENIED', /not bound to a pod/);
  });

  test('whose pod was deleted is refused, also when another pod has its name', TIMELY, async () => {
    const { pod, job, token } = await world.training('deleted');
    await remove(world.client, PODS, { namespace: world.namespace, name: pod.metadata.name, uid: pod.metadata.uid });
    await refused(`Bearer ${token}`, ['UNAUTHENTICATED', 'PERMISSION_DENIED'], /token refused|is gone/);
    await world.pod(pod.metadata.name, job);
    await new Promise((resolve) => setTimeout(resolve, 5500));
    await refused(`Bearer ${token}`, ['UNAUTHENTICATED', 'PERMISSION_DENIED'], /token refused|is gone/);
  });

  test('whose pod is nobody\'s is refused', TIMELY, async () => {
    await refused(`Bearer ${await world.token(await world.pod('lonely', undefined))}`, 'PERMISSION_DENIED', /not controlled by a Job/);
  });

  test('whose Job is gone, or was made anew under its name, is refused', TIMELY, async () => {
    const run = await world.run('newjob');
    const job = await world.job(run);
    const pod = await world.pod('newjob-1-0', { ...job, metadata: { ...job.metadata, uid: '00000000-0000-4000-8000-000000000000' } });
    await refused(`Bearer ${await world.token(pod)}`, 'PERMISSION_DENIED', /is gone/);
  });

  test('whose Job was deleted is known while its run names that Job, and refused when it does not', TIMELY, async () => {
    const { run, job, token } = await world.training('jobless');
    await world.deleteJob(job);
    await refused(`Bearer ${token}`, 'PERMISSION_DENIED', /is gone/);
    await world.operatorStatus('jobless', { attempt: 1, job: job.metadata.name });
    await new Promise((resolve) => setTimeout(resolve, 5500));
    const trainer = new Trainer(ingest, `Bearer ${token}`);
    trainer.send(report(run, 1));
    await trainer.untilAcked(1);
    await trainer.finish();
  });

  test('whose Job belongs to no run is refused', TIMELY, async () => {
    const run = await world.run('stranger');
    const job = await world.job(run, 1, { apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: run.metadata.uid, controller: true });
    await refused(`Bearer ${await world.token(await world.pod('stranger-1-0', job))}`, 'PERMISSION_DENIED', /not controlled by a run/);
  });

  test('whose run was made anew under its name is refused', TIMELY, async () => {
    const run = await world.run('reborn');
    const owner = { apiVersion: PRETRAINS.apiVersion, kind: PRETRAINS.kind, name: 'reborn', uid: '00000000-0000-4000-8000-000000000000', controller: true };
    await refused(`Bearer ${await world.token(await world.pod('reborn-1-0', await world.job(run, 1, owner)))}`, 'NOT_FOUND', /is gone/);
  });

  test('whose run was deleted and made anew under its name is refused', TIMELY, async () => {
    const { run, token } = await world.training('again');
    await remove(world.client, PRETRAINS, { namespace: world.namespace, name: 'again', uid: run.metadata.uid });
    const next = await world.run('again');
    assert.notEqual(next.metadata.uid, run.metadata.uid);
    await refused(`Bearer ${token}`, 'NOT_FOUND', /is gone/);
    assert.equal((await world.read('again')).status?.progress, undefined);
  });

  test('whose pod names its Job without being controlled by it, or as something else, is refused', TIMELY, async () => {
    const job = await world.job(await world.run('loose'));
    const owner = { apiVersion: 'batch/v1', kind: 'Job', name: job.metadata.name, uid: job.metadata.uid };
    const forgeries = [{ ...owner, controller: false }, { ...owner, controller: true, apiVersion: 'batch/v1beta1' }, { ...owner, controller: true, kind: 'CronJob' }];
    for (const [i, reference] of forgeries.entries()) {
      await refused(`Bearer ${await world.token(await world.pod(`loose-${i}`, job, 0, [reference]))}`, 'PERMISSION_DENIED', /not controlled by a Job/);
    }
  });

  test('in another namespace that names the Job, or whose Job names the run, of this one is refused', TIMELY, async () => {
    const { run, job } = await world.training('far');
    const elsewhere = await world.elsewhere(await set.cluster.namespace('elsewhere'));
    await refused(`Bearer ${await elsewhere.token(await elsewhere.pod('far-1-0', job))}`, 'PERMISSION_DENIED', /is gone/);
    await refused(`Bearer ${await elsewhere.token(await elsewhere.pod('far-2-0', await elsewhere.job(run)))}`, 'NOT_FOUND', /is gone/);
    await elsewhere.run('far');
    await refused(`Bearer ${await elsewhere.token(await elsewhere.pod('far-3-0', await elsewhere.job(run, 1, { apiVersion: PRETRAINS.apiVersion, kind: PRETRAINS.kind, name: 'far', uid: run.metadata.uid, controller: true }, 'far-other')))}`, 'NOT_FOUND', /is gone/);
  });

  test('whose Job is of a kind of owner with the name of ours is refused', TIMELY, async () => {
    const run = await world.run('namesake');
    for (const [i, apiVersion] of ['example.com/v1alpha1', 'polar.training/v1'].entries()) {
      const job = await world.job(run, 1, { apiVersion, kind: PRETRAINS.kind, name: 'namesake', uid: run.metadata.uid, controller: true }, `namesake-${i}`);
      await refused(`Bearer ${await world.token(await world.pod(`namesake-${i}`, job))}`, 'PERMISSION_DENIED', /not controlled by a run/);
    }
  });

  test('whose Job says it is of no attempt, or of one that has not begun, is refused', TIMELY, async () => {
    const run = await world.run('early');
    await refused(`Bearer ${await world.token(await world.pod('early-2-0', await world.job(run, 2)))}`, 'UNAVAILABLE', /not in the status yet/);
    for (const [i, attempt] of ['0', 'one', '1e3', ''].entries()) {
      const job = await world.job(run, attempt, undefined, `early-none-${i}`);
      await refused(`Bearer ${await world.token(await world.pod(`early-none-${i}`, job))}`, 'PERMISSION_DENIED', /has no label/);
    }
  });

  test('that is worker 1 is refused', TIMELY, async () => {
    const pod = await world.pod('index-1-1', await world.job(await world.run('index')), 1);
    await refused(`Bearer ${await world.token(pod)}`, 'PERMISSION_DENIED', /not worker 0/);
  });

  test('of a superseded attempt is refused', TIMELY, async () => {
    const { token } = await world.training('superseded');
    await world.operatorStatus('superseded', { attempt: 2 });
    await refused(`Bearer ${token}`, 'FAILED_PRECONDITION', /superseded by attempt 2/);
  });

  test('whose pod has ended is refused', TIMELY, async () => {
    const { pod, token } = await world.training('ended');
    await world.endPod(pod, 'no JSON');
    await refused(`Bearer ${token}`, 'PERMISSION_DENIED', /has ended/);
  });

  test('that reports for the run or the attempt of another pod is refused, and nothing is written', TIMELY, async () => {
    const { token } = await world.training('liar');
    const victim = await world.training('victim');
    for (const [fields, details] of [[{}, /run_uid is not/], [{ runUid: (await world.read('liar')).metadata.uid, attempt: 7 }, /attempt is 7/]] as const) {
      const trainer = new Trainer(ingest, `Bearer ${token}`);
      trainer.send(report(victim.run, 1, fields));
      const refusal = await trainer.refusal();
      assert.equal(refusal.code, 'PERMISSION_DENIED');
      assert.match(refusal.details, details);
    }
    for (const name of ['liar', 'victim']) assert.equal((await world.read(name)).status?.progress, undefined);
  });

  test('whose stream is sent again, by itself or by whom it was told to, changes nothing', TIMELY, async () => {
    const { run, token } = await world.training('replay');
    const first = new Trainer(ingest, `Bearer ${token}`);
    for (let seq = 1; seq <= 3; seq++) first.send(report(run, seq));
    await first.untilAcked(3);
    await first.finish();
    const before = await world.read('replay');
    const again = new Trainer(ingest, `Bearer ${token}`);
    for (let seq = 1; seq <= 3; seq++) again.send(report(run, seq));
    await again.untilAcked(3);
    await again.finish();
    assert.equal((await world.read('replay')).metadata.resourceVersion, before.metadata.resourceVersion);
    const thief = new Trainer(ingest, `Bearer ${(await world.training('thief')).token}`);
    thief.send(report(run, 4));
    assert.equal((await thief.refusal()).code, 'PERMISSION_DENIED');
    assert.equal((await world.read('replay')).metadata.resourceVersion, before.metadata.resourceVersion);
  });

  test('that trusts another authority does not connect', TIMELY, async () => {
    const { token } = await world.training('authority');
    const other = await issue(servingNames('polar-system'), new Date());
    assert.equal((await new Trainer({ ...ingest, caPem: other.caPem }, `Bearer ${token}`).refusal()).code, 'UNAVAILABLE');
  });
});

describe('the certificate', () => {
  const secret = pathOf({ apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true }, { namespace: 'polar-system', name: 'polar-ingest-tls' });

  test('is the same for replicas that start together on a new cluster', TIMELY, async () => {
    await world.client.request('DELETE', secret);
    const authorities = await Promise.all(Array.from({ length: 4 }, () => ensureCertificate(set.operator, 'polar-system', new Date())));
    assert.equal(new Set(authorities.map(({ certificatePem }) => certificatePem)).size, 1);
  });

  test('is renewed in place under the same authority when its end is near', TIMELY, async () => {
    const now = await ensureCertificate(set.operator, 'polar-system', new Date());
    const soon = new Date(Date.now() + 61 * 86_400_000);
    const renewed = await Promise.all([1, 2].map(() => ensureCertificate(set.operator, 'polar-system', soon)));
    assert.equal(renewed[0]?.certificatePem, renewed[1]?.certificatePem);
    assert.notEqual(renewed[0]?.certificatePem, now.certificatePem);
    assert.equal(renewed[0]?.caPem, now.caPem);
  });

  test('keeps its authority when the Secret is deleted under a running operator', TIMELY, async () => {
    const held = await ensureCertificate(set.operator, 'polar-system', new Date());
    await world.client.request('DELETE', secret);
    const again = await ensureCertificate(set.operator, 'polar-system', new Date(), held);
    assert.equal(again.caPem, held.caPem);
    assert.deepEqual(await ensureCertificate(set.operator, 'polar-system', new Date()), again);
  });

  test('is made anew when somebody damaged the Secret', TIMELY, async () => {
    await world.client.request('PATCH', secret, { contentType: 'application/merge-patch+json', body: { data: { 'tls.key': 'AAAA' } } });
    const made = await ensureCertificate(set.operator, 'polar-system', new Date());
    assert.ok(isUsable(made, servingNames('polar-system'), new Date()));
    assert.deepEqual(await ensureCertificate(set.operator, 'polar-system', new Date()), made);
  });
});
