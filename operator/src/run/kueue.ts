// What Kueue (kueue.x-k8s.io/v1beta2, served by v0.15 and newer) says about a run, read without trusting it: a field that is not what
// it should be counts as absent.
import { z } from 'zod';
import type { KubeObject, Resource } from '../runtime/object.ts';

const API = 'kueue.x-k8s.io/v1beta2';

export const WORKLOADS: Resource = { apiVersion: API, kind: 'Workload', plural: 'workloads', namespaced: true };
export const FLAVORS: Resource = { apiVersion: API, kind: 'ResourceFlavor', plural: 'resourceflavors', namespaced: false };
export const WORKLOAD_PRIORITIES: Resource = { apiVersion: API, kind: 'WorkloadPriorityClass', plural: 'workloadpriorityclasses', namespaced: false };
export const POD_PRIORITIES: Resource = { apiVersion: 'scheduling.k8s.io/v1', kind: 'PriorityClass', plural: 'priorityclasses', namespaced: false };

/** Hash of spec.podSets as the operator wrote it: Kueue's own writes may spell quantities anew. */
export const ANNOTATION_POD_SETS = 'polar.training/pod-sets';
export const POD_SET = 'main';

export interface Workload extends KubeObject {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
}

export interface Flavor extends KubeObject {
  readonly spec?: unknown;
}

/** The class that gives a run its priority in the queue; value is undefined when there is no such class. */
export interface Priority {
  readonly group: 'kueue.x-k8s.io' | 'scheduling.k8s.io';
  readonly kind: 'WorkloadPriorityClass' | 'PriorityClass';
  readonly name: string;
  readonly value?: number | undefined;
}

/** What is observed of Kueue for one run. */
export interface Queueing {
  /** The cluster serves Workloads, and the cache holds them. */
  readonly isInstalled: boolean;
  readonly workload?: Workload | undefined;
  /** The flavors its admission names, as far as they exist. */
  readonly flavors: readonly Flavor[];
  /** Looked up when the Workload lacks it. */
  readonly priority?: Priority | undefined;
}

const text = z.string().max(32_768).optional().catch(undefined);

const strings = z.record(z.string(), z.unknown()).catch({})
  .transform((values) => Object.fromEntries(Object.entries(values).filter((entry): entry is [string, string] => typeof entry[1] === 'string')));

const listOf = <T extends z.ZodType>(item: T): z.ZodType<z.infer<T>[]> =>
  z.array(z.unknown()).catch([]).transform((items) => items.flatMap((one) => {
    const { success, data } = item.safeParse(one);
    return success ? [data] : [];
  }));

const condition = z.object({ type: z.string(), status: z.string(), reason: text, message: text, lastTransitionTime: text });
const toleration = z.object({ key: text, operator: text, value: text, effect: text, tolerationSeconds: z.int().optional().catch(undefined) });

const assignment = z.object({ name: z.string(), flavors: strings, count: z.int().min(0).optional().catch(undefined), topologyAssignment: z.unknown().optional() });
const update = z.object({ name: z.string(), labels: strings, annotations: strings, nodeSelector: strings, tolerations: listOf(toleration) });
const check = z.object({ name: z.string(), state: text, message: text, podSetUpdates: listOf(update) });

const admission = z.object({ clusterQueue: z.string().max(253), podSetAssignments: listOf(assignment) });

const specView = z.object({ queueName: text, active: z.boolean().catch(true), priority: z.int().optional().catch(undefined), priorityClassRef: z.object({ name: z.string() }).optional().catch(undefined) });
const statusView = z.object({
  conditions: listOf(condition), admission: admission.optional().catch(undefined), admissionChecks: listOf(check),
  requeueState: z.object({ requeueAt: text }).optional().catch(undefined), accumulatedPastExecutionTimeSeconds: z.int().min(0).catch(0),
});
const flavorView = z.object({ nodeLabels: strings, tolerations: listOf(toleration) });

export type KueueCondition = z.infer<typeof condition>;
export type Toleration = z.infer<typeof toleration>;
export type WorkloadSpecView = z.infer<typeof specView>;
export type WorkloadStatusView = z.infer<typeof statusView>;

export function specOf(workload: Workload): WorkloadSpecView {
  return specView.parse(asRecord(workload.spec));
}

export function statusOfWorkload(workload: Workload): WorkloadStatusView {
  return statusView.parse(asRecord(workload.status));
}

export function flavorOf(flavor: Flavor): z.infer<typeof flavorView> {
  return flavorView.parse(asRecord(flavor.spec));
}

/** Names of the flavors an admission assigns, each once. */
export function flavorNames(workload: Workload): readonly string[] {
  const assigned = statusOfWorkload(workload).admission?.podSetAssignments ?? [];
  return [...new Set(assigned.flatMap(({ flavors }) => Object.values(flavors)))];
}

/** The condition of that type when it is True. */
export function holdsTrue(status: WorkloadStatusView, type: string): KueueCondition | undefined {
  return status.conditions.find((one) => one.type === type && one.status === 'True');
}

export function hasReservation(status: WorkloadStatusView): boolean {
  return holdsTrue(status, 'QuotaReserved') !== undefined;
}

/** What a cache keeps of a Workload; pod sets, by far its largest part, are not read back. */
export function lightWorkload(workload: Workload): Workload {
  if (workload.spec?.['podSets'] === undefined) return workload;
  return { ...workload, spec: Object.fromEntries(Object.entries(workload.spec).filter(([field]) => field !== 'podSets')) };
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : {};
}
