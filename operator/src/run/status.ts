// The operator's part of a run's status, from what was observed, what was decided and what of it could not be done.
import type { Phase } from '../api/reasons.ts';
import type { Condition, RunStatus } from '../api/status.ts';
import { conditionsOf } from './conditions.ts';
import type { Failed } from './conditions.ts';
import { childName, runDirectory } from './naming.ts';
import { isTrue } from './objects.ts';
import type { Run } from './observed.ts';
import type { Plan } from './plan.ts';
import { queueFields } from './queueing.ts';
import { withRecord } from './registry.ts';
import type { Situation } from './situation.ts';

/** The fields of status the operator owns; every other belongs to ingest. */
export const OWN_FIELDS = [
  'observedGeneration', 'conditions', 'phase', 'attempt', 'restarts', 'interruptions', 'job', 'workers', 'startTime', 'attemptStartTime', 'completionTime', 'stopRequest', 'checkpointDirectoryUri', 'startedFrom', 'resolved', 'registry', 'workload', 'clusterQueue',
] as const satisfies readonly (keyof RunStatus)[];

export type OwnStatus = Pick<RunStatus, (typeof OWN_FIELDS)[number]>;

/** The status to write after the plan was performed, or after it failed. */
export function statusOf(plan: Plan, failed: Failed | undefined): OwnStatus {
  const { situation: s, verdict } = plan;
  const { run, now } = s.seen;
  const conditions = conditionsOf({ s, verdict, failed });
  const counters = countersOf(s, verdict.begins);
  const beganAt = verdict.begins === undefined ? undefined : now;
  const endedAt = verdict.ends === undefined ? undefined : now;
  return defined({
    observedGeneration: run.metadata.generation,
    conditions, ...counters,
    phase: phaseOf(conditions, counters.attempt ?? 0, s),
    job: recordedJob(plan, failed),
    workers: s.attempt === 0 || s.isOver ? run.status.workers : `${s.readyPods}/${s.replicas}`,
    startTime: run.status.startTime ?? beganAt,
    attemptStartTime: beganAt ?? run.status.attemptStartTime,
    completionTime: run.status.completionTime ?? endedAt,
    stopRequest: stopRequestOf(plan),
    checkpointDirectoryUri: directoryUri(run),
    startedFrom: startedFromOf(plan),
    resolved: resolvedOf(plan),
    ...queueFields(s),
    registry: withRecord(run.status.registry, verdict.registered),
  });
}

/** Written once; gone when the next attempt begins. */
function stopRequestOf({ situation: s, verdict }: Plan): OwnStatus['stopRequest'] {
  if (verdict.begins !== undefined) return undefined;
  return s.stopRequest ?? verdict.stops;
}

function startedFromOf({ situation: s, verdict }: Plan): OwnStatus['startedFrom'] {
  return s.seen.run.status.startedFrom ?? (verdict.begins === undefined ? undefined : s.seen.source?.checkpoint);
}

function resolvedOf({ situation: { laws } }: Plan): OwnStatus['resolved'] {
  if (laws === undefined) return undefined;
  const { learningRate, batchTriplets, parameters, parametersFrom } = laws;
  return { learningRate, batchTriplets, parameters, parametersFrom };
}

function directoryUri(run: Run): string | undefined {
  return run.spec === undefined ? run.status.checkpointDirectoryUri : `pvc://${run.spec.spec.checkpoint.store.pvc ?? ''}/${runDirectory(run)}`;
}

/** Whether writing `next` would change anything the operator owns. */
export function differs(run: Run, next: OwnStatus): boolean {
  return OWN_FIELDS.some((field) => !isSame(run.status[field], next[field]));
}

/** Whether numbers that name attempts or times that are counted from change; such a write must not be based on an old read. */
export function countsDiffer(run: Run, next: OwnStatus): boolean {
  return (['attempt', 'restarts', 'interruptions', 'stopRequest'] as const).some((field) => !isSame(run.status[field], next[field]));
}

function countersOf(s: Situation, begins: 'first' | 'charged' | 'free' | undefined): Pick<OwnStatus, 'attempt' | 'restarts' | 'interruptions'> {
  if (s.attempt === 0 && begins === undefined) return {};
  return {
    attempt: s.attempt + (begins === undefined ? 0 : 1),
    restarts: s.restarts + (begins === 'charged' ? 1 : 0),
    interruptions: s.interruptions + (begins === 'free' ? 1 : 0),
  };
}

/** The Job's name once it is known to exist or to have existed: how "deleted" is told from "not created yet". */
function recordedJob({ situation: s, verdict, actions }: Plan, failed: Failed | undefined): string | undefined {
  if (verdict.begins !== undefined) return undefined;
  const created = failed === undefined && actions.some((action) => action.do === 'create' && action.object.kind === 'Job');
  return s.job !== undefined || s.jobState === 'gone' || created ? childName(s.seen.run, s.attempt) : undefined;
}

function phaseOf(conditions: readonly Condition[], attempt: number, s: Situation): Phase {
  const is = (type: string): boolean => isTrue(conditions, type) !== undefined;
  if (is('Failed')) return 'Failed';
  if (is('Complete')) return 'Complete';
  if (is('PodsReady') || isFinishing(s)) return 'Running';
  if (isSuspending(s)) return 'Suspended';
  if (attempt === 0 || !is('Accepted')) return 'Pending';
  return attempt === 1 && isFirstStart(s, is('Progressing')) ? 'Starting' : 'Restarting';
}

/** Suspended, or asked to be and no longer training as a whole. */
function isSuspending(s: Situation): boolean {
  return s.seen.run.spec?.spec.suspend === true && (s.stopRequest !== undefined || s.jobState !== 'active');
}

/** Also while the API server refuses the first attempt's objects. */
function isFirstStart(s: Situation, progressing: boolean): boolean {
  return progressing || s.jobState === 'missing';
}

/** The first workers have done their last step; the Job counts them one after the other. */
function isFinishing(s: Situation): boolean {
  return s.jobState === 'active' && s.donePods > 0;
}

function defined(status: { readonly [F in keyof OwnStatus]: OwnStatus[F] | undefined }): OwnStatus {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== undefined));
}

function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return Object.is(a, b);
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => isSame((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]));
}
