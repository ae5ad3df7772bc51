// The operator's part of a run's status, from what was observed, what was decided and what of it could not be done.
import { budgetOf } from './budget.ts';
import { conditionsOf } from './conditions.ts';
import type { Failed } from './conditions.ts';
import { protectedSteps } from './dependents.ts';
import { effectiveTime, idleOf, isFar } from './effective.ts';
import { historyOf } from './history.ts';
import { millisOf, rfc3339 } from './instant.ts';
import { isManagedElsewhere, statusElsewhere } from './managed.ts';
import { childName } from './naming.ts';
import type { Run } from './observed.ts';
import { OWN_FIELDS } from './ownFields.ts';
import type { OwnStatus } from './ownFields.ts';
import { phaseOf } from './phase.ts';
import type { Plan } from './plan.ts';
import { refusedDeletion } from './deletion.ts';
import { queueFields } from './queueing.ts';
import { withRecord } from './registry.ts';
import type { Situation } from './situation.ts';
import { directoryUri as storedAt } from './store.ts';

/** The status to write after the plan was performed, or after it failed. */
export function statusOf(plan: Plan, failed: Failed | undefined): OwnStatus {
  const { run, now } = plan.situation.seen;
  if (isManagedElsewhere(run)) return statusElsewhere(plan.situation.seen);
  const next = fieldsOf(plan, failed);
  const { effectiveTrainingTime: before, progress } = run.status;
  const after = effectiveTime({ ...next, ...(progress === undefined ? {} : { progress }) }, now);
  // It moves all the time; on its own it is written when it has moved much.
  const isDue = differs(run, defined({ ...next, effectiveTrainingTime: before })) || isFar(before, after);
  return defined({ ...next, effectiveTrainingTime: isDue ? after : before });
}

function fieldsOf(plan: Plan, failed: Failed | undefined): OwnStatus {
  const { situation: s, verdict } = plan;
  const { run } = s.seen;
  const now = rfc3339(millisOf(s.seen.now));
  const conditions = conditionsOf({ s, verdict, failed });
  const counters = countersOf(s, verdict.begins);
  const beganAt = verdict.begins === undefined ? undefined : now;
  const endedAt = verdict.ends === undefined ? undefined : now;
  return defined({
    observedGeneration: run.metadata.generation,
    conditions, ...counters,
    phase: phaseOf(conditions, counters.attempt ?? 0, s),
    job: recordedJob(plan),
    workers: workersOf(plan),
    startTime: run.status.startTime ?? beganAt,
    attemptStartTime: beganAt ?? run.status.attemptStartTime,
    completionTime: s.isOver ? run.status.completionTime : endedAt,
    budget: attemptBudget(plan), ...historyOf(s, verdict.begins), ...idleOf(s, conditions),
    protectedSteps: stepsToProtect(s),
    stopRequest: stopRequestOf(plan),
    checkpointDirectoryUri: directoryUri(run),
    startedFrom: startedFromOf(plan),
    resolved: resolvedOf(plan),
    ...queueFields(s),
    registry: withRecord(run.status.registry, verdict.registered ?? refusedDeletion(plan, failed)),
  });
}

/** Ready workers over those that are wanted. */
function workersOf({ situation: s, verdict }: Plan): string | undefined {
  if (verdict.begins !== undefined) return `0/${s.seen.run.spec?.spec.workers.replicas ?? 0}`;
  return s.attempt === 0 || s.isOver ? s.seen.run.status.workers : `${s.readyPods}/${s.replicas}`;
}

/** The budget of the attempt's run config, which follows the spec until its Job is there. */
function attemptBudget({ situation: s, verdict }: Plan): OwnStatus['budget'] {
  const { spec, status } = s.seen.run;
  const isNew = verdict.begins !== undefined || (s.attempt > 0 && s.jobState === 'missing');
  return isNew && spec !== undefined ? budgetOf(spec) : status.budget;
}

function stepsToProtect(s: Situation): OwnStatus['protectedSteps'] {
  const steps = protectedSteps(s.seen.dependents, s.seen.run.status);
  return steps.length === 0 ? undefined : [...steps];
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
  return run.spec === undefined ? run.status.checkpointDirectoryUri : storedAt(run, run.spec);
}

/** Whether writing `next` would change anything the operator owns. */
export function differs(run: Run, next: OwnStatus): boolean {
  return OWN_FIELDS.some((field) => !isSame(run.status[field], next[field]));
}

/** Whether an attempt begins or is asked to stop: nothing is done about that in the same pass. */
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

/** The Job's name once losing the Job would matter, which is how "deleted" is told from "not created yet": it has pods, or has more to say than that it was created. */
function recordedJob(plan: Plan): string | undefined {
  const { situation: s, verdict } = plan;
  if (verdict.begins !== undefined) return undefined;
  const name = childName(s.seen.run, s.attempt);
  if (s.seen.run.status.job === name || s.jobState === 'gone') return name;
  const matters = s.pods.length > 0 || s.jobState !== 'active' || s.obstacle !== undefined || verdict.ends !== undefined || stopRequestOf(plan) !== undefined;
  return s.job !== undefined && matters ? name : undefined;
}

function defined(status: { readonly [F in keyof OwnStatus]: OwnStatus[F] | undefined }): OwnStatus {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== undefined));
}

function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return Object.is(a, b);
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => isSame((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]));
}
