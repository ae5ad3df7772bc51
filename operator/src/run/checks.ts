// The life of a run as an ordered list of questions. The first that has an answer decides; the order is the specification.
import type { Reason } from '../api/reasons.ts';
import { createAttempt, forgetOldAttempts, restoreAttempt, stopJobAsSeen, stopOtherAttempts } from './children.ts';
import type { Failure } from './failure.ts';
import { expire } from './expiry.ts';
import { hasFailedBefore } from './history.ts';
import { isManagedElsewhere } from './managed.ts';
import { millisOf, rfc3339 } from './instant.ts';
import { isDeleted } from './deletion.ts';
import { awaitsQuota, finishWorkload, givesQuotaBack, isHeld, removeWorkload, tendWorkload } from './queueing.ts';
import { clearAway, registryStep, wantedTask } from './registry.ts';
import { earliestRestart } from './restart.ts';
import type { Situation } from './situation.ts';
import { startDeadline, startedTooSlowly } from './starting.ts';
import { isStopping } from './stopping.ts';
import type { Verdict } from './verdict.ts';
import { nextLookMs } from './watching.ts';
import { saidByWorker } from './workers.ts';

export type Check = (s: Situation) => Verdict | undefined;

export const CHECKS: readonly (readonly [string, Check])[] = [
  ['isElsewhere', isElsewhere],         // spec.managedBy names somebody else: say so once, and nothing more
  ['isDeleted', isDeleted],             // deletionPolicy Delete: the checkpoints go before the run
  ['isOver', isOver],                   // Complete or Failed was written: only tidy up
  ['isTrained', isTrained],             // every worker succeeded: Complete
  ['isUnreadable', isUnreadable],       // the stored spec does not parse: leave everything as it is
  ['hasStray', hasStray],               // a Job of another attempt could run beside this one: stop it first
  ['failedForGood', failedForGood],     // no further attempt would help, or none is left: Failed
  ['isStopping', isStopping],           // the attempt is to end before its time: save first
  ['isSuspended', isSuspended],         // spec.suspend: wait
  ['isHeld', isHeld],                   // somebody has suspended its Job, as Kueue does with Jobs it takes for its own: wait
  ['startsTooSlowly', startsTooSlowly], // the workers have not all started in time: Failed
  ['isRunning', isRunning],             // the attempt runs: put back what is missing
  ['givesQuotaBack', givesQuotaBack],   // Kueue has evicted the run: release its reservation once the pods have ended
  ['isBlocked', isBlocked],             // volumes or the checkpoint to start from are missing: wait for them
  ['podsLinger', podsLinger],           // never two live attempts: wait until the last pod has stopped
  ['awaitsQuota', awaitsQuota],         // spec.queue: no attempt without admission by Kueue
  ['isDelayed', isDelayed],             // restart back-off
  ['mayBegin', mayBegin],               // write the next attempt's number to status
  ['isUncreated', isUncreated],         // the attempt is in status: create it
];

const REFUSAL_LOOK_MS = 5000;
const LONGEST_LOOK_MS = 60_000;

function isElsewhere(s: Situation): Verdict | undefined {
  return isManagedElsewhere(s.seen.run) ? { progressing: waits('NotStarted', 'managed elsewhere') } : undefined;
}

function isOver(s: Situation): Verdict | undefined {
  if (!s.isOver) return undefined;
  const leftovers = s.job !== undefined && s.jobState === 'active' ? stopJobAsSeen(s.job) : [];
  const tidying = [...leftovers, ...stopOtherAttempts(s), ...forgetOldAttempts(s), ...finishWorkload(s), ...clearAway(s)];
  const wanted = wantedTask(s);
  const { actions = [], ended } = wanted === undefined ? {} : registryStep(s, wanted);
  const expiry = expire(s);
  return { ...expiry, actions: [...tidying, ...actions, ...(expiry.actions ?? [])], ...(ended === undefined ? {} : { registered: ended }), progressing: waits('Finished', 'the run has ended') };
}

function isTrained(s: Situation): Verdict | undefined {
  if (s.jobState !== 'done' || s.isBudgetRaised) return undefined;
  const message = saidByWorker(s.pods, 0) ?? `all ${s.replicas} workers of attempt ${s.attempt} ended successfully`;
  return { ends: { type: 'Complete', reason: 'AllStepsDone', message }, progressing: waits('Finished', 'the run is complete') };
}

function isUnreadable(s: Situation): Verdict | undefined {
  return s.seen.run.spec === undefined ? { progressing: waits('NotStarted', 'the spec cannot be read') } : undefined;
}

function hasStray(s: Situation): Verdict | undefined {
  const actions = stopOtherAttempts(s);
  return actions.length === 0 ? undefined : { actions, progressing: waits('RestartPending', 'stopping workers of another attempt') };
}

function failedForGood(s: Situation): Verdict | undefined {
  const { failure } = s;
  if (failure === undefined) return undefined;
  const isSecond = failure.policy === 'once' && hasFailedBefore(s.seen.run.status, failure.reason);
  if (failure.policy === 'never' || isSecond) return fails(failure.reason, `attempt ${s.attempt}${isSecond ? ', which had gone back to an earlier checkpoint' : ''}: ${failure.message}`);
  const { maxRestarts } = s.seen.run.spec?.spec.recovery ?? { maxRestarts: 0 };
  if (failure.policy === 'free' || s.restarts < maxRestarts) return undefined;
  return fails('MaxRestartsExceeded', `attempt ${s.attempt} ended with ${failure.reason} and recovery.maxRestarts is ${maxRestarts}: ${failure.message}`);
}

function isSuspended(s: Situation): Verdict | undefined {
  if (s.seen.run.spec?.spec.suspend !== true) return undefined;
  const state = s.attempt === 0 ? 'not started' : s.livePods.length > 0 ? 'stopping' : 'stopped';
  return { actions: removeWorkload(s), progressing: waits('SuspendRequested', `${state}: spec.suspend is true`) };
}

function startsTooSlowly(s: Situation): Verdict | undefined {
  const message = startedTooSlowly(s);
  return message === undefined ? undefined : fails('StartDeadlineExceeded', message);
}

function isRunning(s: Situation): Verdict | undefined {
  if (s.jobState === 'ending') return { progressing: waits('RestartPending', `attempt ${s.attempt} is ending; waiting for ${podNames(s) || 'its pods'} to stop`) };
  if (s.jobState !== 'active') return undefined;
  const actions = [...restoreAttempt(s), ...forgetOldAttempts(s), ...tendWorkload(s)];
  if (s.hasStarted) return { actions, requeueAfterMs: finite(nextLookMs(s)), progressing: { status: 'True', reason: 'Training', message: `attempt ${s.attempt} runs on ${workersText(s.replicas)}${pendingChange(s)}` } };
  const lookAgainMs = s.pods.length < s.replicas ? refusalLookMs(s) : Infinity;
  return {
    actions, requeueAfterMs: Math.min(lookAgainMs, Math.max(1000, startDeadline(s) - millisOf(s.seen.now))),
    progressing: { status: 'True', reason: 'Creating', message: `${starting(s.attempt, s.replicas)}${pendingChange(s)}` },
  };
}

/** Why pods are missing is told by events of the Job, which are not watched: after twice the time each time, since looking costs the API server much. */
function refusalLookMs({ job, seen }: Situation): number {
  const age = millisOf(seen.now) - millisOf(job?.metadata.creationTimestamp ?? seen.now);
  return Math.min(LONGEST_LOOK_MS, Math.max(REFUSAL_LOOK_MS, age));
}

/** What was edited since the attempt began does not reach its workers; what concerns the operator holds at once. */
function pendingChange(s: Situation): string {
  const { replicas } = s.seen.run.spec?.spec.workers ?? s;
  if (replicas !== s.replicas) return `; spec.workers.replicas is ${replicas} now, which the next attempt has`;
  return s.isOutdated ? '; the spec has changed since: what concerns its workers takes effect with the next attempt' : '';
}

/** The same from the attempt's number to its first worker: a start has one status write. */
function starting(attempt: number, replicas: number): string {
  return `attempt ${attempt} is starting ${workersText(replicas)}`;
}

function workersText(replicas: number): string {
  return `${replicas} ${replicas === 1 ? 'worker' : 'workers'}`;
}

function finite(ms: number): number | undefined {
  return ms === Infinity ? undefined : ms;
}

function isBlocked(s: Situation): Verdict | undefined {
  if (s.objection === undefined) return undefined;
  const { reason, message, requeueAfterMs } = s.objection;
  return { requeueAfterMs, progressing: waits(s.attempt === 0 ? 'NotStarted' : 'RestartPending', `${reason}: ${message}`) };
}

function podsLinger(s: Situation): Verdict | undefined {
  if (s.livePods.length === 0) return undefined;
  return { progressing: waits('RestartPending', `waiting for ${podNames(s)} to stop${endedBecause(s.failure)}`) };
}

function isDelayed(s: Situation): Verdict | undefined {
  if (s.jobState !== 'failed' && s.jobState !== 'gone') return undefined;
  const at = earliestRestart(s);
  const waitMs = at - millisOf(s.seen.now);
  if (waitMs <= 0) return undefined;
  return { requeueAfterMs: waitMs, progressing: waits('RestartPending', `attempt ${s.attempt + 1} starts at ${rfc3339(at)}${endedBecause(s.failure)}`) };
}

function mayBegin(s: Situation): Verdict | undefined {
  const isFirst = s.attempt === 0;
  if (!isFirst && s.jobState === 'missing') return undefined;
  const begins = isFirst ? 'first' : s.failure === undefined || s.failure.policy === 'free' ? 'free' : 'charged';
  return { begins, progressing: { status: 'True', reason: 'Creating', message: `${starting(s.attempt + 1, s.seen.run.spec?.spec.workers.replicas ?? 0)}${endedBecause(s.failure)}` } };
}

function isUncreated(s: Situation): Verdict | undefined {
  return { actions: createAttempt(s), progressing: { status: 'True', reason: 'Creating', message: starting(s.attempt, s.replicas) } };
}

function waits(reason: Reason, message: string): Verdict['progressing'] {
  return { status: 'False', reason, message };
}

function fails(reason: Reason, message: string): Verdict {
  return { ends: { type: 'Failed', reason, message }, progressing: waits('Finished', 'the run has failed') };
}

function endedBecause(failure: Failure | undefined): string {
  return failure === undefined ? '' : `; the attempt before ended with ${failure.reason}: ${failure.message}`;
}

function podNames(s: Situation): string {
  const names = s.livePods.map((pod) => pod.metadata.name);
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `pods ${shown} and ${names.length - 3} more` : names.length === 0 ? '' : `pod ${shown}`;
}
