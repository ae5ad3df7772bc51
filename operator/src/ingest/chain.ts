// From a pod to the run it works for, along controller owner references: pod -> Job -> run; when the Job is deleted, by what the run recorded.
import { API_VERSION, LABEL_ATTEMPT, LABEL_COMPLETION_INDEX, LABEL_KIND, LABEL_RUN_UID } from '../api/labels.ts';
import type { KubeClient } from '../runtime/client.ts';
import { controllerOf } from '../runtime/object.ts';
import type { KubeObject, Resource } from '../runtime/object.ts';
import { get } from '../runtime/verbs.ts';
import { permissionDenied } from './refusal.ts';
import type { RunRef, Runs } from './runs.ts';

export interface Pod extends KubeObject {
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly state?: { readonly terminated?: { readonly message?: string } };
    }[];
  };
}

/** The run and attempt a pod belongs to. */
export interface Membership {
  readonly run: RunRef;
  readonly attempt: number;
}

const JOBS: Resource = { apiVersion: 'batch/v1', kind: 'Job', plural: 'jobs', namespaced: true };

/** Follows a worker-0 pod to its run. Throws Refusal (PERMISSION_DENIED) naming the first link that does not hold, ApiError when the server cannot be asked. */
export async function membershipOf(client: KubeClient, runs: Runs, pod: Pod): Promise<Membership> {
  const { namespace = '', name, labels } = pod.metadata;
  if (labels?.[LABEL_COMPLETION_INDEX] !== '0') throw permissionDenied(`pod ${namespace}/${name} is not worker 0 of a run`);
  const owner = controllerOf(pod);
  if (owner === undefined || owner.apiVersion !== JOBS.apiVersion || owner.kind !== JOBS.kind) throw permissionDenied(`pod ${namespace}/${name} is not controlled by a Job`);
  const job = await get(client, JOBS, { namespace, name: owner.name });
  const membership = job === undefined ? recordedOf(pod, owner.name, runs) : job.metadata.uid === owner.uid ? { run: runOf(job, runs), attempt: attemptOf(job) } : undefined;
  if (membership === undefined) throw permissionDenied(`Job ${namespace}/${owner.name} of pod ${name} is gone`);
  return membership;
}

/** A suspended run's Job is deleted at once, and its workers then save: the run whose status names that Job and attempt vouches for them. */
function recordedOf({ metadata }: Pod, jobName: string, runs: Runs): Membership | undefined {
  const label = (name: string): string => metadata.labels?.[name] ?? '';
  const ref = { kind: label(LABEL_KIND), namespace: metadata.namespace ?? '', uid: label(LABEL_RUN_UID) };
  const run = runs.cached(ref);
  if (run?.status?.job !== jobName) return undefined;
  const { attempt } = run.status;
  return attempt !== undefined && label(LABEL_ATTEMPT) === String(attempt) ? { run: { ...ref, name: run.metadata.name }, attempt } : undefined;
}

function runOf(job: KubeObject, runs: Runs): RunRef {
  const { namespace = '', name } = job.metadata;
  const owner = controllerOf(job);
  if (owner?.apiVersion !== API_VERSION || runs.resourceOf(owner.kind) === undefined) throw permissionDenied(`Job ${namespace}/${name} is not controlled by a run`);
  return { kind: owner.kind, namespace, name: owner.name, uid: owner.uid };
}

function attemptOf(job: KubeObject): number {
  const label = job.metadata.labels?.[LABEL_ATTEMPT] ?? '';
  if (!/^[1-9][0-9]{0,8}$/.test(label)) throw permissionDenied(`Job ${job.metadata.namespace ?? ''}/${job.metadata.name} has no label ${LABEL_ATTEMPT}`);
  return Number(label);
}
