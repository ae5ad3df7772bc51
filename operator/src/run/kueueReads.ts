// Reading what belongs to queues and gangs: from caches that exist only where the cluster serves them, and, rarely, from the API server.
import type { KubeClient } from '../runtime/client.ts';
import { controllerOf } from '../runtime/object.ts';
import { get } from '../runtime/verbs.ts';
import { BY_RUN } from './caches.ts';
import type { Caches } from './caches.ts';
import { POD_PRIORITIES, WORKLOADS, WORKLOAD_PRIORITIES, flavorNames, holdsTrue, specOf, statusOfWorkload } from './kueue.ts';
import type { Priority, Queueing, Workload } from './kueue.ts';
import type { Run, RunSpec } from './observed.ts';
import { gangSchedulerOf } from './podGroup.ts';
import type { PodGroups } from './podGroup.ts';
import { workloadName } from './workload.ts';

export interface GangReads {
  readonly client: KubeClient;
  readonly caches: Caches;
}

/** Undefined when the run neither asks for a queue nor has a Workload. */
export async function queueingOf({ client, caches }: GangReads, run: Run): Promise<Queueing | undefined> {
  const found = caches.workloads.store.byIndex(BY_RUN, run.metadata.uid).filter((one) => controllerOf(one)?.uid === run.metadata.uid);
  const workload = caches.workloads.isServed ? found.find((one) => one.metadata.name === workloadName(run)) : undefined;
  if (run.spec?.spec.queue === undefined && workload === undefined) return undefined;
  const flavors = workload === undefined ? [] : flavorNames(workload).flatMap((name) => caches.flavors.store.get(undefined, name) ?? []);
  const isInstalled = caches.workloads.isServed && caches.flavors.isServed;
  return { isInstalled, workload, flavors, priority: isInstalled ? await priorityOf(client, run, workload) : undefined };
}

/** A priority class is looked up when the Workload is to be made, or lacks it; Kueue itself follows a class whose value changes. */
async function priorityOf(client: KubeClient, run: Run, workload: Workload | undefined): Promise<Priority | undefined> {
  const asked = run.spec === undefined ? undefined : priorityClassOf(run.spec);
  if (asked === undefined || (workload !== undefined && specOf(workload).priorityClassRef?.name === asked.name)) return undefined;
  const resource = asked.kind === 'PriorityClass' ? POD_PRIORITIES : WORKLOAD_PRIORITIES;
  const found = await get<Workload & { readonly value?: unknown }>(client, resource, { name: asked.name });
  return { ...asked, value: Number.isSafeInteger(found?.value) ? (found?.value as number) : undefined };
}

/** The class of the queue, else that of the pods, as Kueue does it for Jobs. */
function priorityClassOf({ spec: { queue, workers } }: RunSpec): Priority | undefined {
  const ofPods = workers.podTemplate?.priorityClassName;
  if (queue === undefined) return undefined;
  if (queue.priorityClassName !== undefined) return { group: 'kueue.x-k8s.io', kind: 'WorkloadPriorityClass', name: queue.priorityClassName };
  return ofPods === undefined ? undefined : { group: 'scheduling.k8s.io', kind: 'PriorityClass', name: ofPods };
}

/** Undefined when the run asks for no pod group. */
export function podGroupsOf({ caches }: GangReads, run: Run): PodGroups | undefined {
  const scheduler = run.spec === undefined ? undefined : gangSchedulerOf(run.spec);
  if (scheduler === undefined) return undefined;
  const cache = caches.podGroups[scheduler];
  return { isServed: cache.isServed, found: cache.store.byIndex(BY_RUN, run.metadata.uid).filter((one) => controllerOf(one)?.uid === run.metadata.uid) };
}

/** Asks the API server before a Job is created: the cache may not know yet that the quota was taken back. True without a queue. */
export async function isStillAdmitted(client: KubeClient, run: Run): Promise<boolean> {
  if (run.spec?.spec.queue === undefined) return true;
  const live = await get<Workload>(client, WORKLOADS, { namespace: run.metadata.namespace, name: workloadName(run) });
  if (live === undefined || live.metadata.deletionTimestamp !== undefined) return false;
  const status = statusOfWorkload(live);
  return holdsTrue(status, 'Admitted') !== undefined && holdsTrue(status, 'QuotaReserved') !== undefined && holdsTrue(status, 'Evicted') === undefined && holdsTrue(status, 'Finished') === undefined;
}
