// The PodGroup by which Volcano or the coscheduling plugin starts all workers of an attempt or none.
import type { KubeObject, Resource } from '../runtime/object.ts';
import type { Attempt } from './desired.ts';
import { desiredJob } from './job.ts';
import { childMeta, childName } from './naming.ts';
import type { Observed, RunSpec } from './observed.ts';

type Strings = Readonly<Record<string, string>>;
type Fields = Readonly<Record<string, unknown>>;

export type GangScheduler = 'volcano' | 'coscheduling';

export interface PodGroup extends KubeObject {
  readonly spec?: Fields;
}

export const POD_GROUPS: Readonly<Record<GangScheduler, Resource>> = {
  volcano: { apiVersion: 'scheduling.volcano.sh/v1beta1', kind: 'PodGroup', plural: 'podgroups', namespaced: true },
  coscheduling: { apiVersion: 'scheduling.x-k8s.io/v1alpha1', kind: 'PodGroup', plural: 'podgroups', namespaced: true },
};

/** Volcano knows a pod's group by an annotation, coscheduling by a label. */
const GROUP_ANNOTATION = 'scheduling.k8s.io/group-name';
const GROUP_LABEL = 'scheduling.x-k8s.io/pod-group';
const VOLCANO_QUEUE = 'scheduling.volcano.sh/queue-name';

/** What is observed of pod groups for one run. */
export interface PodGroups {
  /** The cluster serves the kind that the run asks for, and the cache holds it. */
  readonly isServed: boolean;
  readonly found: readonly PodGroup[];
}

export function gangSchedulerOf({ spec }: RunSpec): GangScheduler | undefined {
  const { podGroup } = spec.workers;
  return podGroup === 'none' ? undefined : podGroup;
}

/** What the pods carry so that their scheduler finds the group. */
export function podGroupMark(of: Attempt): { readonly labels: Strings; readonly annotations: Strings; readonly schedulerName?: string } {
  const name = childName(of.run, of.attempt);
  const scheduler = gangSchedulerOf(of.spec);
  if (scheduler === 'coscheduling') return { labels: { [GROUP_LABEL]: name }, annotations: {} };
  if (scheduler === undefined) return { labels: {}, annotations: {} };
  return { labels: {}, annotations: { [GROUP_ANNOTATION]: name }, schedulerName: of.spec.spec.workers.podTemplate?.schedulerName ?? 'volcano' };
}

/** The group of an attempt; undefined when the run asks for none. */
export function desiredPodGroup(of: Attempt): PodGroup | undefined {
  const scheduler = gangSchedulerOf(of.spec);
  if (scheduler === undefined) return undefined;
  const { replicas, podTemplate } = of.spec.spec.workers;
  const { apiVersion, kind } = POD_GROUPS[scheduler];
  const minResources = gangResources(of, replicas);
  const queue = podTemplate?.annotations?.[VOLCANO_QUEUE];
  const { priorityClassName } = podTemplate ?? {};
  const own = scheduler === 'coscheduling' ? {} : { ...(queue === undefined ? {} : { queue }), ...(priorityClassName === undefined ? {} : { priorityClassName }) };
  return {
    apiVersion, kind, metadata: childMeta(of.run, of.attempt),
    spec: { minMember: replicas, ...(Object.keys(minResources).length === 0 ? {} : { minResources }), ...own },
  };
}

/** What all workers request together; a limit stands for a request that is not given. */
function gangResources(of: Attempt, replicas: number): Strings {
  const { template } = desiredJob(of).spec as { template: { spec: { containers: readonly { resources?: { requests?: Fields; limits?: Fields } }[] } } };
  const { requests, limits } = template.spec.containers[0]?.resources ?? {};
  return Object.fromEntries(Object.entries({ ...limits, ...requests }).map(([name, amount]) => [name, times(String(amount), replicas)]));
}

/** A quantity many times over: "1500m" by 4 is "6000m". */
export function times(quantity: string, count: number): string {
  const [, digits = '', unit = ''] = /^([0-9.]+)(.*)$/.exec(quantity) ?? [];
  return digits === '' ? quantity : `${Number((Number(digits) * count).toFixed(9))}${unit}`;
}

/** Why the group cannot be made; undefined when it can or none is asked for. */
export function podGroupMissing(spec: RunSpec, { podGroups }: Observed): string | undefined {
  const scheduler = gangSchedulerOf(spec);
  if (scheduler === undefined || podGroups?.isServed === true) return undefined;
  const { apiVersion, kind } = POD_GROUPS[scheduler];
  return `spec.workers.podGroup: the cluster serves no ${kind} of ${apiVersion}: install ${scheduler === 'volcano' ? 'Volcano' : 'the coscheduling plugin of scheduler-plugins'}, or set podGroup to none`;
}
