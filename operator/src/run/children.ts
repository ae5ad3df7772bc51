// Actions on an attempt's children.
import type { Action } from '../runtime/apply.ts';
import type { KubeObject } from '../runtime/object.ts';
import type { Admission } from './admission.ts';
import { desiredChildren } from './desired.ts';
import type { Children } from './desired.ts';
import { initOf } from './mounts.ts';
import { attemptOf, childName } from './naming.ts';
import { admissionFor } from './queueState.ts';
import { CONFIG_MAPS, JOBS, SERVICES, isTrue } from './objects.ts';
import type { Job } from './objects.ts';
import type { Situation } from './situation.ts';

/** Creates what the attempt lacks, the Job last: its pods need the other two. */
export function createAttempt(s: Situation): readonly Action[] {
  const admission = admissionFor(s);
  const wanted = typeof admission === 'string' ? undefined : childrenOf(s, admission);
  if (wanted === undefined) return [];
  const configMap = current(s, s.seen.configMaps);
  return [
    ...(configMap === undefined ? create(wanted.configMap) : adjust(wanted.configMap, configMap)),
    ...ensureService(s, wanted),
    ...ensurePodGroup(s, wanted),
    ...create(wanted.job),
  ];
}

/** Puts back what somebody removed under a running attempt. Its ConfigMap is not changed: it is what its workers were started with. */
export function restoreAttempt(s: Situation): readonly Action[] {
  const wanted = childrenOf(s);
  if (wanted === undefined) return [];
  return [...(current(s, s.seen.configMaps) === undefined ? create(wanted.configMap) : []), ...ensureService(s, wanted)];
}

/** Removes the children of attempts before the previous one; the previous Job stays so that its log can be read. */
export function forgetOldAttempts(s: Situation): readonly Action[] {
  const old = [...s.seen.jobs, ...s.seen.services, ...s.seen.configMaps, ...(s.seen.podGroups?.found ?? [])].filter((object) => attemptOf(object) < s.attempt - 1);
  return old.filter((object) => object.metadata.deletionTimestamp === undefined).map(deleteObject);
}

/** Stops every Job of other attempts that could still have workers. */
export function stopOtherAttempts(s: Situation): readonly Action[] {
  return s.seen.jobs.filter((job) => attemptOf(job) > 0 && attemptOf(job) !== s.attempt && !isFinished(job)).flatMap(stopJob);
}

/** Deletes a Job, which stops its pods with their grace period. */
export function stopJob(job: Job): readonly Action[] {
  return job.metadata.deletionTimestamp === undefined ? [deleteObject(job)] : [];
}

/** The same for a Job that was unfinished when it was seen: news of its end may be late, and its pods' logs would go with it. */
export function stopJobAsSeen(job: Job): readonly Action[] {
  const { resourceVersion } = job.metadata;
  return stopJob(job).map((action) => (action.do === 'delete' && resourceVersion !== undefined ? { ...action, resourceVersion } : action));
}

export function isFinished(job: Job): boolean {
  return isTrue(job.status?.conditions, 'Complete') !== undefined || isTrue(job.status?.conditions, 'Failed') !== undefined;
}

function childrenOf(s: Situation, admission?: Admission): Children | undefined {
  const { run, settings, source } = s.seen;
  if (run.spec === undefined) return undefined;
  const spec = withReplicas(run.spec, s.job?.spec.parallelism);
  return desiredChildren({ run, spec, attempt: s.attempt, init: initOf(run.spec, source), settings, admission });
}

/** A running attempt keeps the number of workers it was started with. */
function withReplicas<R extends { readonly spec: { readonly workers: { readonly replicas: number } } }>(run: R, replicas: number | undefined): R {
  return replicas === undefined ? run : { ...run, spec: { ...run.spec, workers: { ...run.spec.workers, replicas } } };
}

function ensureService(s: Situation, wanted: Children): readonly Action[] {
  const service = current(s, s.seen.services);
  return service === undefined ? create(wanted.service) : adjust(wanted.service, service);
}

function ensurePodGroup(s: Situation, wanted: Children): readonly Action[] {
  return wanted.podGroup === undefined || current(s, s.seen.podGroups?.found ?? []) !== undefined ? [] : create(wanted.podGroup);
}

function current<T extends KubeObject>(s: Situation, objects: readonly T[]): T | undefined {
  return objects.find((object) => object.metadata.name === childName(s.seen.run, s.attempt));
}

function create(object: KubeObject): readonly Action[] {
  return [{ do: 'create', object }];
}

function adjust(wanted: KubeObject, found: KubeObject): readonly Action[] {
  const { uid, deletionTimestamp } = found.metadata;
  if (uid === undefined || deletionTimestamp !== undefined || holds(found, wanted)) return [];
  return [{ do: 'apply', object: wanted, uid }];
}

/** Whether the found value has everything the wanted one has; the server may have added to it. */
export function holds(found: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null) return Object.is(found, wanted);
  if (typeof found !== 'object' || found === null) return false;
  if (Array.isArray(wanted)) return Array.isArray(found) && found.length === wanted.length && wanted.every((item, index) => holds(found[index], item));
  return Object.entries(wanted).every(([key, value]) => holds((found as Record<string, unknown>)[key], value));
}

function deleteObject(object: KubeObject): Action {
  const { name, namespace = '', uid = '' } = object.metadata;
  const kind = object.kind ?? '';
  const resource = [JOBS, SERVICES, CONFIG_MAPS].find((one) => one.kind === kind);
  return { do: 'delete', ref: { apiVersion: resource?.apiVersion ?? object.apiVersion ?? '', kind, namespace, name }, uid };
}
