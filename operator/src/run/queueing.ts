// What a run does about its queue: asks for quota, waits, gives it back. queueState.ts says what the states mean.
import type { Action } from '../runtime/apply.ts';
import { restoreAttempt } from './children.ts';
import type { Attempt } from './desired.ts';
import { ANNOTATION_POD_SETS, hasReservation, specOf, statusOfWorkload } from './kueue.ts';
import type { Workload } from './kueue.ts';
import { initOf } from './mounts.ts';
import { isTrue } from './objects.ts';
import { admittedCondition, evictedBecause, heldBecause } from './queueCondition.ts';
import { admissionFor, queueStateOf, workloadState } from './queueState.ts';
import type { QueueState } from './queueState.ts';
import type { Situation } from './situation.ts';
import type { Verdict } from './verdict.ts';
import { desiredWorkload, finished, podsReady, released, removed, reprioritized, respecified } from './workload.ts';

// Installing Kueue is no event of any object the operator watches.
const INSTALL_LOOK_MS = 60_000;

const KEEPS_QUOTA: ReadonlySet<QueueState> = new Set(['none', 'unwanted', 'notInstalled', 'admitted']);

/** An attempt that runs must stop. Kueue that was removed from the cluster takes nothing back. */
export function losesQuota(s: Situation): boolean {
  return !KEEPS_QUOTA.has(queueStateOf(s.seen));
}

/** Check: an evicted run whose pods have ended gives its reservation back, whatever else it waits for. */
export function givesQuotaBack(s: Situation): Verdict | undefined {
  const workload = s.seen.queueing?.workload;
  if (workload === undefined || queueStateOf(s.seen) !== 'evicted') return undefined;
  const actions = s.livePods.length === 0 ? [released(workload, s.seen.now)] : [];
  const doing = s.livePods.length === 0 ? 'the quota is given back' : `the quota is given back when ${s.livePods.length} pods have ended`;
  return { actions, progressing: { status: 'False', reason: 'Evicted', message: `${doing}: ${evictedBecause(workload)}` } };
}

/** Check: no attempt begins without quota. Restarts pass while the Workload stays admitted. */
export function awaitsQuota(s: Situation): Verdict | undefined {
  const state = queueStateOf(s.seen);
  const step = STEPS[state](s);
  if (step === undefined) return undefined;
  const { reason, message } = state === 'admitted' && (step.actions ?? []).length > 0 ? ANEW : admittedCondition(s);
  return { ...step, progressing: { status: 'False', reason, message } };
}

const ANEW = { reason: 'WaitingForQuota', message: 'the next attempt needs other quota than was admitted: asking anew' } as const;

type Step = { readonly actions?: readonly Action[]; readonly requeueAfterMs?: number } | undefined;

const STEPS: Readonly<Record<QueueState, (s: Situation) => Step>> = {
  none: () => undefined,
  unwanted: (s) => ({ actions: removeWorkload(s) }),
  notInstalled: () => ({ requeueAfterMs: INSTALL_LOOK_MS }),
  missing: (s) => asks(s),
  leaving: () => ({}),
  finished: (s) => ({ actions: removeWorkload(s) }),
  evicted: (s) => givesQuotaBack(s) ?? {},
  waiting: (s) => ({ actions: corrections(s) }),
  checking: (s) => ({ actions: corrections(s) }),
  admitted: (s) => passes(s),
};

function asks(s: Situation): Step {
  const wanted = wantedWorkload(s);
  return wanted === undefined ? { requeueAfterMs: INSTALL_LOOK_MS } : { actions: [{ do: 'create', object: wanted }] };
}

/** What was admitted must be what will be created; quota for anything else is given back by asking anew. */
function passes(s: Situation): Step {
  const actions = corrections(s);
  if (actions.length > 0) return { actions };
  return typeof admissionFor(s) === 'string' ? { requeueAfterMs: INSTALL_LOOK_MS } : undefined;
}

function corrections(s: Situation): readonly Action[] {
  const workload = s.seen.queueing?.workload;
  const wanted = wantedWorkload(s);
  if (workload === undefined || wanted === undefined) return [];
  if (!asksForTheSame(workload, wanted)) return hasReservation(statusOfWorkload(workload)) ? [removed(workload)] : [respecified(workload, wanted)];
  return prioritize(s, workload);
}

function asksForTheSame(found: Workload, wanted: Workload): boolean {
  const hash = (workload: Workload): string | undefined => workload.metadata.annotations?.[ANNOTATION_POD_SETS];
  return hash(found) === hash(wanted) && specOf(found).queueName === specOf(wanted).queueName;
}

/** A class may be exchanged for another at any time; Kueue lets nobody add or take away one while quota is reserved. */
function prioritize(s: Situation, workload: Workload): readonly Action[] {
  const priority = s.seen.queueing?.priority;
  const before = specOf(workload).priorityClassRef?.name;
  if (priority?.value === undefined || priority.name === before) return [];
  return before !== undefined || !hasReservation(statusOfWorkload(workload)) ? [reprioritized(workload, priority)] : [];
}

/** While an attempt runs: tells Kueue whether its pods are ready, and passes on a changed priority. */
export function tendWorkload(s: Situation): readonly Action[] {
  const workload = s.seen.queueing?.workload;
  if (workload === undefined || queueStateOf(s.seen) !== 'admitted') return [];
  const told = podsReady(workload, s.readyPods + s.donePods >= s.replicas, s.seen.now);
  return told === undefined ? prioritize(s, workload) : [told];
}

/** Check: the Job of the attempt is suspended. It starts, and its time to start begins, when whoever suspended it lets it go. */
export function isHeld(s: Situation): Verdict | undefined {
  const message = heldBecause(s);
  return message === undefined ? undefined : { actions: restoreAttempt(s), progressing: { status: 'False', reason: 'WaitingForQuota', message } };
}

/** A run that is over frees its quota once its last pod has ended; the Workload stays as the record, and goes with the run. */
export function finishWorkload(s: Situation): readonly Action[] {
  const workload = s.seen.queueing?.workload;
  if (workload === undefined || ['finished', 'leaving'].includes(workloadState(workload)) || s.livePods.length > 0) return [];
  const { conditions } = s.seen.run.status;
  const [succeeded, failed] = [isTrue(conditions, 'Complete'), isTrue(conditions, 'Failed')];
  return [finished(workload, succeeded === undefined ? 'Failed' : 'Succeeded', (succeeded ?? failed)?.message ?? '', s.seen.now)];
}

/** A suspended run has no quota and no place in the queue. */
export function removeWorkload(s: Situation): readonly Action[] {
  const workload = s.seen.queueing?.workload;
  if (workload === undefined || workload.metadata.deletionTimestamp !== undefined || s.livePods.length > 0) return [];
  return [removed(workload)];
}

function wantedWorkload({ seen: { run, queueing, settings, source } }: Situation): Workload | undefined {
  const { spec } = run;
  const priority = queueing?.priority;
  if (spec?.spec.queue === undefined || (priority !== undefined && priority.value === undefined)) return undefined;
  const of: Attempt = { run, spec, attempt: 1, init: initOf(spec, source), settings };
  return desiredWorkload(of, spec.spec.queue.name, priority);
}

/** Name of the Workload and of the ClusterQueue that has admitted it, for status. */
export function queueFields({ seen }: Situation): { readonly workload?: string | undefined; readonly clusterQueue?: string | undefined } {
  const workload = seen.queueing?.workload;
  if (workload === undefined) return {};
  return { workload: workload.metadata.name, clusterQueue: statusOfWorkload(workload).admission?.clusterQueue };
}
