// Pod groups against the real API server and the real definitions of Volcano and scheduler-plugins; no gang scheduler runs.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyFiles } from '../../local/src/apply.ts';
import { moduleDirectory } from '../../local/src/moduleProgram.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { POD_GROUPS } from '../../operator/src/run/podGroup.ts';
import type { GangScheduler, PodGroup } from '../../operator/src/run/podGroup.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { controllerOf } from '../../operator/src/runtime/object.ts';
import { list } from '../../operator/src/runtime/verbs.ts';
import { startCluster } from '../integration/cluster.ts';
import type { TestCluster } from '../integration/cluster.ts';
import { eventually, operatorClient } from '../integration/runWorld.ts';
import type { Operator } from '../integration/runWorld.ts';
import { QueueWorld, startQueueOperator } from './queueWorld.ts';

const DEFINITIONS: Readonly<Record<GangScheduler, { module: string; version: string; file: string }>> = {
  volcano: { module: 'volcano.sh/volcano', version: 'v1.15.1', file: 'config/crd/volcano/bases/scheduling.volcano.sh_podgroups.yaml' },
  coscheduling: { module: 'sigs.k8s.io/scheduler-plugins', version: 'v0.34.7', file: 'config/crd/bases/scheduling.x-k8s.io_podgroups.yaml' },
};
const SCHEDULERS = Object.keys(DEFINITIONS) as GangScheduler[];

let cluster: TestCluster;
let admin: KubeClient;
let client: KubeClient;
let operator: Operator;
let world: QueueWorld;

before(async () => {
  cluster = await startCluster({ crds: true, controllers: true });
  admin = await clientFor(cluster.adminConfig);
  await applyFiles(cluster.kubeconfigPath, [join(repositoryRoot, 'local/manifests/operator.yaml')]);
  client = await operatorClient(cluster, admin);
  operator = startQueueOperator(client);
  world = new QueueWorld(admin, await cluster.namespace('gang'));
  await world.claims();
});

after(async () => {
  await world.stop();
  await operator.stop();
  await Promise.all([client.close(), admin.close()]);
  await cluster.stop();
});

const run = (scheduler: GangScheduler, name: string): Promise<unknown> => world.pretrain(name, {
  workers: { replicas: 2, podGroup: scheduler, resources: { requests: { cpu: '500m', memory: '1Gi' } }, podTemplate: { schedulerName: 'gang', priorityClassName: 'system-node-critical' } },
});

const groups = async (scheduler: GangScheduler): Promise<readonly PodGroup[]> => (await list<PodGroup>(admin, POD_GROUPS[scheduler], { namespace: world.namespace })).items;

for (const scheduler of SCHEDULERS) {
  test(`says that ${scheduler} is not installed`, async () => {
    await run(scheduler, `no-${scheduler}`);
    const { message } = await world.until(`no-${scheduler}`, 'Accepted', 'False', { reason: 'PodGroupNotServed' });
    assert.match(message, new RegExp(`the cluster serves no PodGroup of ${POD_GROUPS[scheduler].apiVersion}`));
  });

  test(`gives each attempt a pod group that ${scheduler} understands, and removes it with the attempt`, async () => {
    const { file, ...module } = DEFINITIONS[scheduler];
    await applyFiles(cluster.kubeconfigPath, [join(await moduleDirectory(module), file)]);
    const name = `with-${scheduler}`;
    // Until the operator has noticed.
    await sleep(2000);
    await run(scheduler, name);
    await eventually(async () => assert.equal((await groups(scheduler)).length, 1));
    const [group] = await groups(scheduler);
    assert.equal(group?.metadata.name, `${name}-pretrain-1`);
    assert.equal(controllerOf(group)?.name, name);
    assert.deepEqual(group.spec?.['minResources'], { cpu: '1000m', memory: '2Gi' });
    assert.equal(group.spec['minMember'], 2);
    await world.until(name, 'PodsReady', 'True');
    for (const attempt of [1, 2]) world.exits.set(`${name}/${attempt}`, 1);
    await eventually(async () => assert.deepEqual((await groups(scheduler)).map(({ metadata }) => metadata.name), [`${name}-pretrain-2`, `${name}-pretrain-3`]));
  });
}
