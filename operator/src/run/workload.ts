// The Kueue Workload of a run: what it asks for, and what its owner writes into its status. Pure.
//
// Kueue's own controllers write status by server-side apply as "kueue-admission"; the owner of a Workload clears its admission and
// declares it finished (what Kueue's job reconciler does for a Job). These writes are merge patches that carry the resource version
// they were derived from: they replace the list of conditions, and touch nothing else.
import { createHash } from 'node:crypto';
import { LABEL_ATTEMPT } from '../api/labels.ts';
import type { Action } from '../runtime/apply.ts';
import type { Attempt } from './desired.ts';
import { topologyRequest } from './admission.ts';
import { millisOf } from './instant.ts';
import { desiredJob } from './job.ts';
import { ANNOTATION_POD_SETS, POD_SET, WORKLOADS, holdsTrue, statusOfWorkload } from './kueue.ts';
import type { KueueCondition, Priority, Workload, WorkloadStatusView } from './kueue.ts';
import { childMeta, childName } from './naming.ts';
import type { Run } from './observed.ts';

type Fields = Readonly<Record<string, unknown>>;

const LABEL_JOB_UID = 'kueue.x-k8s.io/job-uid';
const MAX_MESSAGE = 32_768;

/** One Workload for all attempts of a run. */
export function workloadName(run: Run): string {
  return childName(run, 0).replace(/-0$/, '');
}

/** What the run asks Kueue for. The same for every attempt, so that a restart keeps the quota. */
export function desiredWorkload(of: Attempt, queueName: string, priority: Priority | undefined): Workload {
  const podSets = [podSetOf(of)];
  const { labels, ownerReferences, namespace } = childMeta(of.run, 0);
  const own = Object.fromEntries(Object.entries(labels ?? {}).filter(([key]) => key !== LABEL_ATTEMPT));
  return {
    apiVersion: WORKLOADS.apiVersion, kind: WORKLOADS.kind,
    metadata: {
      name: workloadName(of.run), ...(namespace === undefined ? {} : { namespace }), labels: { ...own, [LABEL_JOB_UID]: of.run.metadata.uid },
      annotations: { [ANNOTATION_POD_SETS]: hashOf(podSets) }, ...(ownerReferences === undefined ? {} : { ownerReferences }),
    },
    spec: { queueName, podSets, ...(priority === undefined ? {} : priorityFields(priority)) },
  };
}

export function priorityFields({ group, kind, name, value }: Priority): Fields {
  return { priorityClassRef: { group, kind, name }, priority: value };
}

/** Of the pods only what Kueue decides by: anything else may differ between attempts. */
function podSetOf(of: Attempt): Fields {
  const { template, parallelism } = desiredJob({ ...of, attempt: 1, admission: undefined }).spec as { template: { spec: Fields }; parallelism: number };
  const { nodeSelector, tolerations, priorityClassName, runtimeClassName, containers, initContainers } = template.spec;
  const light = (list: unknown): unknown => (list as readonly Fields[] | undefined)?.map(({ name, resources }) => ({ name, ...(resources === undefined ? {} : { resources }) }));
  const spec = { restartPolicy: 'Never', nodeSelector, tolerations, priorityClassName, runtimeClassName, initContainers: light(initContainers), containers: light(containers) };
  const topology = topologyRequest(of.spec);
  return {
    name: POD_SET, count: parallelism,
    template: { spec: Object.fromEntries(Object.entries(spec).filter(([, value]) => value !== undefined)) },
    ...(topology === undefined ? {} : { topologyRequest: topology }),
  };
}

function hashOf(podSets: unknown): string {
  return createHash('sha256').update(JSON.stringify(podSets)).digest('hex').slice(0, 32);
}

/** Changes of the spec of a Workload that has no quota yet. */
export function respecified(found: Workload, wanted: Workload): Action {
  const { priorityClassRef = null, priority = null, ...spec } = wanted.spec ?? {};
  return patch(found, { metadata: { annotations: wanted.metadata.annotations ?? {} }, spec: { ...spec, priorityClassRef, priority } });
}

export function reprioritized(found: Workload, priority: Priority): Action {
  return patch(found, { spec: priorityFields(priority) });
}

/** Gives the reservation back after an eviction. Kueue itself asks for it again, except after a preemption or a failed node: then its owner does. */
export function released(found: Workload, now: string): Action {
  const status = statusOfWorkload(found);
  const { reason = 'Evicted', message = 'The workload was evicted' } = holdsTrue(status, 'Evicted') ?? {};
  const isRequeued = reason === 'Preempted' || reason === 'NodeFailures';
  const changed = [
    { type: 'Requeued', status: isRequeued ? 'True' : 'False', reason, message },
    { type: 'QuotaReserved', status: 'False', reason: 'Pending', message },
    { type: 'Admitted', status: 'False', reason: 'NoReservation', message: 'The workload has no reservation' },
    ...(holdsTrue(status, 'PodsReady') === undefined ? [] : [{ type: 'PodsReady', status: 'False', reason: 'WaitForStart', message: 'Not all pods are ready or succeeded' }]),
  ];
  const accumulatedPastExecutionTimeSeconds = status.accumulatedPastExecutionTimeSeconds + secondsAdmitted(status, now);
  return patchStatus(found, { admission: null, accumulatedPastExecutionTimeSeconds, conditions: withConditions(found, changed, now) });
}

/** Kueue counts them against maximumExecutionTimeSeconds. */
function secondsAdmitted(status: WorkloadStatusView, now: string): number {
  const since = holdsTrue(status, 'Admitted')?.lastTransitionTime;
  const millis = since === undefined ? 0 : millisOf(now) - millisOf(since);
  return millis > 0 ? Math.floor(millis / 1000) : 0;
}

/** Quota frees at once. */
export function finished(found: Workload, how: 'Succeeded' | 'Failed', message: string, now: string): Action {
  return patchStatus(found, { conditions: withConditions(found, [{ type: 'Finished', status: 'True', reason: how, message }], now) });
}

/** What waitForPodsReady of Kueue looks at; without it the condition does nothing. Undefined when it says so already. */
export function podsReady(found: Workload, areReady: boolean, now: string): Action | undefined {
  const before = statusOfWorkload(found).conditions.find(({ type }) => type === 'PodsReady');
  const wasReady = before?.status === 'True';
  if (wasReady === areReady || (before === undefined && !areReady)) return undefined;
  const hasFailed = before?.reason === 'WaitForRecovery' || before?.reason === 'Recovered';
  const next = areReady
    ? { type: 'PodsReady', status: 'True', reason: hasFailed ? 'Recovered' : 'Started', message: 'All pods reached readiness and the workload is running' }
    : { type: 'PodsReady', status: 'False', reason: 'WaitForRecovery', message: 'At least one pod has failed, waiting for recovery' };
  return patchStatus(found, { conditions: withConditions(found, [next], now) });
}

export function removed({ metadata }: Workload): Action {
  const { name, namespace = '', uid = '' } = metadata;
  return { do: 'delete', ref: { apiVersion: WORKLOADS.apiVersion, kind: WORKLOADS.kind, namespace, name }, uid };
}

/** All conditions as they are stored, also such as are unknown here, with some replaced. */
function withConditions(found: Workload, changed: readonly Omit<KueueCondition, 'lastTransitionTime'>[], now: string): readonly unknown[] {
  const stored = found.status?.['conditions'];
  const before: readonly unknown[] = Array.isArray(stored) ? stored : [];
  const { conditions } = statusOfWorkload(found);
  const types = new Set(changed.map(({ type }) => type));
  const next = changed.map((one) => {
    const old = conditions.find(({ type }) => type === one.type);
    const lastTransitionTime = old?.status === one.status ? (old.lastTransitionTime ?? now) : now;
    return { ...one, message: (one.message ?? '').slice(0, MAX_MESSAGE), lastTransitionTime, ...generationOf(found) };
  });
  return [...before.filter((one) => !types.has((one as { readonly type?: string }).type ?? '')), ...next];
}

function generationOf({ metadata: { generation } }: Workload): { observedGeneration?: number } {
  return generation === undefined ? {} : { observedGeneration: generation };
}

function patch(found: Workload, change: { readonly metadata?: Fields; readonly spec: Fields }): Action {
  return { do: 'patch', object: { ...change, ...identityOf(found, change.metadata) } };
}

function patchStatus(found: Workload, status: Fields): Action {
  return { do: 'patch', subresource: 'status', object: { status, ...identityOf(found) } };
}

function identityOf({ metadata: { name, namespace = '', uid = '', resourceVersion = '' } }: Workload, change: Fields = {}): Workload {
  return { apiVersion: WORKLOADS.apiVersion, kind: WORKLOADS.kind, metadata: { ...change, name, namespace, uid, resourceVersion } };
}
