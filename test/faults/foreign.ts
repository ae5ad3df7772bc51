// Workloads with objects in the way that others made (row 20): they must be left as they are, named, and not counted as ours.
import { setTimeout as sleep } from 'node:timers/promises';
import { CONFIG_MAPS, JOBS, PODS, SERVICES } from '../../operator/src/run/objects.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { create, get } from '../../operator/src/runtime/verbs.ts';
import type { Workload } from './workloads.ts';
import type { World } from './world.ts';

const LOOK_MS = 800;
const podSpec = { restartPolicy: 'Never', containers: [{ name: 'trainer', image: 'none' }] };
const done = { code: 0, message: JSON.stringify({ message: 'trained 500 steps' }) };

const SPECS: Readonly<Record<string, object>> = {
  Job: { spec: { suspend: true, template: { spec: podSpec } } },
  Service: { spec: { clusterIP: 'None', selector: { mine: 'yes' } } },
  ConfigMap: { data: { mine: 'yes' } },
};

async function put(world: World, resource: Resource, more: object, metadata: object = {}): Promise<KubeObject> {
  return create(world.admin, resource, { apiVersion: resource.apiVersion, kind: resource.kind, metadata: { name: 'demo-pretrain-1', namespace: world.namespace, ...metadata }, ...more });
}

/** What somebody else would have changed by adopting or adjusting it; its status and version belong to its own controller. */
function essence(object: KubeObject | undefined): string {
  const { metadata, spec, data } = (object ?? {}) as Partial<KubeObject> & { spec?: unknown; data?: unknown };
  return JSON.stringify([metadata?.uid, metadata?.labels, metadata?.ownerReferences, metadata?.deletionTimestamp, spec, data]);
}

async function mustStay(world: World, resource: Resource, mine: KubeObject): Promise<void> {
  const { name } = mine.metadata;
  const found = await get(world.admin, resource, { namespace: world.namespace, name });
  if (essence(found) !== essence(mine)) throw new Error(`the foreign ${resource.kind} ${name} was ${found === undefined ? 'deleted' : `changed from ${essence(mine)} to ${essence(found)}`}`);
}

/** A namesake of a child: the run says so, leaves it alone, and goes on when it is gone. */
const namesake = (resource: Resource): Workload => ({
  name: `namesake-${resource.kind.toLowerCase()}`,
  script: () => sleep(250, done),
  run: async (world: World): Promise<void> => {
    await world.claims();
    const mine = await put(world, resource, SPECS[resource.kind] ?? {});
    await world.pretrain('demo');
    await world.mark('created');
    await world.untilRun('demo', 'demo names the conflict', (run) => run.status?.conditions?.some(({ reason }) => reason === 'NameConflict') === true);
    await sleep(LOOK_MS);
    await mustStay(world, resource, mine);
    await world.mark('named');
    await world.remove(resource, 'demo-pretrain-1');
    await world.untilTrue('demo', 'Complete');
  },
});

const labelsOf = (uid: string): object => ({ 'polar.training/kind': 'PolarPretrain', 'polar.training/run': 'demo', 'polar.training/run-uid': uid, 'polar.training/attempt': '1', 'batch.kubernetes.io/job-completion-index': '0' });

/** Objects with the run's labels and no owner: not ours, never deleted, never counted. */
const lookalike = (resource: Resource): Workload => ({
  name: `lookalike-${resource.kind.toLowerCase()}`,
  script: ({ attempt }) => sleep(attempt === 1 ? 1500 : 250, done),
  run: async (world: World): Promise<void> => {
    await world.claims();
    const run = await world.pretrain('demo');
    const more = resource.kind === 'Pod' ? { spec: { ...podSpec, schedulingGates: [{ name: 'example.com/never' }] } } : (SPECS[resource.kind] ?? {});
    const mine = await put(world, resource, more, { name: 'lookalike', labels: labelsOf(run.metadata.uid) });
    await world.mark('created');
    await world.untilTrue('demo', 'Complete');
    await sleep(LOOK_MS);
    await mustStay(world, resource, mine);
  },
});

export const FOREIGN: readonly Workload[] = [...[JOBS, SERVICES, CONFIG_MAPS].map(namesake), ...[JOBS, SERVICES, CONFIG_MAPS, PODS].map(lookalike)];
