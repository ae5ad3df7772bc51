// Where a run stands: everything the checks ask, derived once from what was observed.
//
//   attempt   status.attempt, written before the Job of that attempt is created
//   jobState  missing  no Job of the attempt ever had pods          gone     it had, or reported, and is not there any more
//             active   it runs                                      ending   it will fail once its last pod has stopped
//             failed   it ended                                     done     every worker succeeded
import { ANNOTATION_GENERATION } from '../api/labels.ts';
import { objectionTo } from './acceptance.ts';
import type { RunStatus } from '../api/status.ts';
import type { Objection } from './acceptance.ts';
import { isRaised } from './budget.ts';
import { failureOf, rememberedFailure, silentFailure } from './failure.ts';
import type { Failure } from './failure.ts';
import { resolveLaws } from './laws.ts';
import type { Resolved } from './laws.ts';
import { attemptOf, childName } from './naming.ts';
import { isTrue } from './objects.ts';
import type { Job, Pod } from './objects.ts';
import type { Observed } from './observed.ts';
import { stopRequestOf } from './stopping.ts';
import type { StopRequest } from './stopping.ts';
import { hasEnded, hasStarted, isReady, obstacleOf } from './workers.ts';
import type { Obstacle } from './workers.ts';

export type JobState = 'missing' | 'gone' | 'active' | 'ending' | 'failed' | 'done';

export interface Situation {
  readonly seen: Observed;
  readonly attempt: number;
  readonly job: Job | undefined;
  readonly jobState: JobState;
  /** Pods of the attempt. */
  readonly pods: readonly Pod[];
  /** Pods of any attempt, and of registry Jobs, that have not ended. */
  readonly livePods: readonly Pod[];
  readonly replicas: number;
  readonly readyPods: number;
  /** Workers of the attempt that ended well. */
  readonly donePods: number;
  /** Every worker of the attempt has started, now or at an earlier look. */
  readonly hasStarted: boolean;
  readonly obstacle: Obstacle | undefined;
  /** The spec was changed after the attempt's Job was made from it. */
  readonly isOutdated: boolean;
  /** The attempt's workers were asked to save a checkpoint and stop. */
  readonly stopRequest: StopRequest | undefined;
  /** Why the attempt ended; known also when its Job is gone, once status has it. */
  readonly failure: Failure | undefined;
  /** The spec asks for more training than the attempt was begun with. */
  readonly isBudgetRaised: boolean;
  readonly objection: Objection | undefined;
  /** What optimizer auto stands for, when the spec asks for it and it can be told. */
  readonly laws: Resolved | undefined;
  readonly restarts: number;
  readonly interruptions: number;
  /** Complete or Failed is already in status and nothing was raised since: the run is over. */
  readonly isOver: boolean;
}

export function situationOf(seen: Observed): Situation {
  const attempt = currentAttempt(seen);
  const job = seen.jobs.find((one) => attemptOf(one) === attempt && one.metadata.name === childName(seen.run, attempt));
  const jobState = jobStateOf(seen, attempt, job);
  const pods = seen.pods.filter((pod) => attemptOf(pod) === attempt);
  const replicas = replicasOf(seen, job);
  const { restarts = 0, interruptions = 0 } = seen.run.status;
  const isBudgetRaised = isRaised(seen.run.status.budget, seen.run.spec);
  const isOver = isOverIn(seen, isBudgetRaised);
  const stopRequest = stopRequestOf(seen.run.status, attempt);
  return {
    seen, attempt, job, jobState, pods, replicas, restarts, interruptions,
    livePods: [...seen.pods, ...seen.registryPods].filter((pod) => !hasEnded(pod)),
    readyPods: pods.filter(isReady).length,
    donePods: pods.filter((pod) => pod.status?.phase === 'Succeeded').length,
    hasStarted: haveStarted(seen, pods, replicas),
    obstacle: jobState === 'active' && !isOver ? (obstacleOf(pods) ?? refusal(seen)) : undefined,
    isOutdated: jobState === 'active' && isOutdated(seen, job),
    stopRequest, isBudgetRaised,
    failure: whyEnded(seen, { attempt, job, jobState, pods, stopRequest }),
    objection: objectionTo(seen),
    laws: lawsOf(seen),
    isOver,
  };
}

/** A raised budget takes Complete back, a raised maxRestarts takes MaxRestartsExceeded back; nothing else undoes an end. */
function isOverIn({ run: { status, spec } }: Observed, isBudgetRaised: boolean): boolean {
  const failed = isTrue(status.conditions, 'Failed');
  if (failed === undefined) return isTrue(status.conditions, 'Complete') !== undefined && !isBudgetRaised;
  return failed.reason !== 'MaxRestartsExceeded' || (status.restarts ?? 0) >= (spec?.spec.recovery.maxRestarts ?? 0);
}

/** What pods say counts first, then what was written down while they were there. */
function whyEnded({ run: { status, spec } }: Observed, of: Pick<Situation, 'attempt' | 'job' | 'jobState' | 'pods' | 'stopRequest'>): Failure | undefined {
  if (!['failed', 'gone'].includes(of.jobState)) return undefined;
  const failure = foundOrRemembered(status, of);
  const isOfItsOwn = failure !== undefined && failure.policy !== 'free';
  if (of.stopRequest?.reason !== 'Silent' || isOfItsOwn) return failure;
  return silentFailure(spec?.spec.recovery.silenceTimeoutSeconds ?? 0, of.stopRequest.time);
}

function foundOrRemembered(status: RunStatus, { attempt, job, pods }: Pick<Situation, 'attempt' | 'job' | 'pods'>): Failure | undefined {
  const found = job && failureOf(job, pods);
  return found?.isTold === true ? found : (rememberedFailure(status, attempt) ?? found);
}

function lawsOf({ run: { spec } }: Observed): Resolved | undefined {
  const resolved = spec?.kind === 'PolarPretrain' ? resolveLaws(spec.spec) : undefined;
  return typeof resolved === 'string' ? undefined : resolved;
}

/** Progressing leaves Training and Saving when an attempt ends; what it says outlives pods, which may vanish before the news of their Job arrives. */
function haveStarted({ run }: Observed, pods: readonly Pod[], replicas: number): boolean {
  const reason = run.status.conditions?.find(({ type }) => type === 'Progressing')?.reason;
  return reason === 'Training' || reason === 'Saving' || pods.filter(hasStarted).length >= replicas;
}

function replicasOf(seen: Observed, job: Job | undefined): number {
  return job?.spec.parallelism ?? seen.run.spec?.spec.workers.replicas ?? 0;
}

/** The attempt in status, or the highest one a Job carries should status have been lost. */
function currentAttempt(seen: Observed): number {
  return Math.max(seen.run.status.attempt ?? 0, ...seen.jobs.map(attemptOf));
}

function hadWorkers(run: Observed['run'], attempt: number): boolean {
  return run.status.job === childName(run, attempt) || run.status.progress?.attempt === attempt;
}

function jobStateOf(seen: Observed, attempt: number, job: Job | undefined): JobState {
  if (job === undefined) return attempt > 0 && hadWorkers(seen.run, attempt) ? 'gone' : 'missing';
  const conditions = job.status?.conditions;
  if (isTrue(conditions, 'Complete') !== undefined) return 'done';
  if (isTrue(conditions, 'Failed') !== undefined) return 'failed';
  const isEnding = job.metadata.deletionTimestamp !== undefined || isTrue(conditions, 'FailureTarget') !== undefined;
  return isEnding ? 'ending' : 'active';
}

/** By generation, not by comparing templates: the server and its webhooks may rewrite what they store. */
function isOutdated(seen: Observed, job: Job | undefined): boolean {
  const madeFrom = job?.metadata.annotations?.[ANNOTATION_GENERATION];
  return madeFrom !== undefined && madeFrom !== String(seen.run.metadata.generation ?? 0);
}

function refusal(seen: Observed): Obstacle | undefined {
  const message = seen.podRefusals[0];
  return message === undefined ? undefined : { reason: 'PodCreationRefused', message };
}
