import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WORKLOADS } from '../../../operator/src/run/kueue.ts';
import { pathOf } from '../../../operator/src/runtime/object.ts';
import { eventually } from '../../integration/runWorld.ts';
import type { QueueWorld } from '../queueWorld.ts';

const CHECKS = '/apis/kueue.x-k8s.io/v1beta2/admissionchecks';
const MERGE = { contentType: 'application/merge-patch+json' };

/** An admission check that the test decides. */
async function createCheck(world: QueueWorld): Promise<string> {
  const name = world.name('machines');
  await world.admin.request('POST', CHECKS, { body: { apiVersion: 'kueue.x-k8s.io/v1beta2', kind: 'AdmissionCheck', metadata: { name }, spec: { controllerName: 'example.com/machines' } } });
  const active = { type: 'Active', status: 'True', reason: 'Ready', message: 'ready', lastTransitionTime: new Date().toISOString() };
  await world.admin.request('PATCH', `${CHECKS}/${name}/status`, { body: { status: { conditions: [active] } }, ...MERGE });
  await world.patchClusterQueue({ admissionChecksStrategy: { admissionChecks: [{ name }] } });
  return name;
}

async function decide(world: QueueWorld, check: string, decision: object): Promise<void> {
  const state = { name: check, message: '', lastTransitionTime: new Date().toISOString(), ...decision };
  const path = pathOf(WORKLOADS, { namespace: world.namespace, name: 'checked-pretrain', subresource: 'status' });
  await eventually(async () => {
    const checks = (await world.workload('checked'))?.status?.['admissionChecks'] as { name: string; state: string }[] | undefined;
    if (checks?.find(({ name }) => name === check)?.state === undefined) throw new Error('Kueue has not asked for the check yet');
    await world.admin.request('PATCH', path, { body: { status: { admissionChecks: [state] } }, ...MERGE });
  });
}

const onMachine = (machine: string): object => ({ state: 'Ready', podSetUpdates: [{ name: 'main', nodeSelector: { 'example.com/machine': machine }, tolerations: [{ key: 'new', operator: 'Exists' }] }] });

export const admissionCheckCases = (world: () => QueueWorld): void => {
  test('waits for the checks of its queue, takes what they add, and saves when one is taken back', async () => {
    const queue = world();
    await queue.queue({ any: { cpu: 2, labels: { 'example.com/pool': 'a' } } });
    const check = await createCheck(queue);
    await queue.queued('checked');
    await eventually(async () => assert.match((await queue.until('checked', 'Admitted', 'False', { reason: 'WaitingForQuota' })).message, new RegExp(`is reserved; admission checks: ${check} is Pending`)));
    assert.deepEqual(await queue.jobs(), []);

    await decide(queue, check, onMachine('m1'));
    const spec = await queue.podSpec('checked', 1);
    assert.deepEqual([spec['nodeSelector'], spec['tolerations']], [{ 'example.com/pool': 'a', 'example.com/machine': 'm1' }, [{ key: 'new', operator: 'Exists' }]]);
    await queue.until('checked', 'PodsReady', 'True');

    await decide(queue, check, { state: 'Retry', message: 'the machine is gone' });
    await eventually(async () => assert.equal((await queue.run('checked')).status?.stopRequest?.reason, 'Evicted'));
    await eventually(async () => assert.equal(await queue.since('checked', 'Admitted'), undefined));
    await eventually(async () => assert.ok(await queue.since('checked', 'QuotaReserved'), 'quota is reserved again'));
    await decide(queue, check, onMachine('m2'));
    assert.deepEqual((await queue.podSpec('checked', 2))['nodeSelector'], { 'example.com/pool': 'a', 'example.com/machine': 'm2' });
  });
};
