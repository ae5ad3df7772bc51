// Where a run stands: everything the checks ask, derived once from what was observed.
//
//   attempt   status.attempt, written before the Job of that attempt is created
//   jobState  missing  no Job of the attempt was ever recorded      gone     it was recorded and is not there any more
//             active   it runs                                      ending   it will fail once its last pod has stopped
//             failed   it ended                                     done     every worker succeeded
import { ANNOTATION_GENERATION } from '../api/labels.ts';
import { objectionTo } from './acceptance.ts';
import type { Objection } from './acceptance.ts';
import { failureOf } from './failure.ts';
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
  readonly failure: Failure | undefined;
  readonly objection: Objection | undefined;
  /** What optimizer auto stands for, when the spec asks for it and it can be told. */
  readonly laws: Resolved | undefined;
  readonly restarts: number;
  readonly interruptions: number;
  /** Complete or Failed is already in status: the run is over. */
  readonly isOver: boolean;
}

export function situationOf(seen: Observed): Situation {
  const attempt = currentAttempt(seen);
  const job = seen.jobs.find((one) => attemptOf(one) === attempt && one.metadata.name === childName(seen.run, attempt));
  const jobState = jobStateOf(seen, attempt, job);
  const pods = seen.pods.filter((pod) => attemptOf(pod) === attempt);
  const replicas = replicasOf(seen, job);
  const { conditions, restarts = 0, interruptions = 0 } = seen.run.status;
  const isOver = isTrue(conditions, 'Complete') !== undefined || isTrue(conditions, 'Failed') !== undefined;
  return {
    seen, attempt, job, jobState, pods, replicas, restarts, interruptions,
    livePods: [...seen.pods, ...seen.registryPods].filter((pod) => !hasEnded(pod)),
    readyPods: pods.filter(isReady).length,
    donePods: pods.filter((pod) => pod.status?.phase === 'Succeeded').length,
    hasStarted: haveStarted(seen, pods, replicas),
    obstacle: jobState === 'active' && !isOver ? (obstacleOf(pods) ?? refusal(seen)) : undefined,
    isOutdated: jobState === 'active' && isOutdated(seen, job),
    stopRequest: stopRequestOf(seen.run.status, attempt),
    failure: jobState === 'failed' && job !== undefined ? failureOf(job, pods) : undefined,
    objection: objectionTo(seen),
    laws: lawsOf(seen),
    isOver,
  };
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

function jobStateOf(seen: Observed, attempt: number, job: Job | undefined): JobState {
  if (job === undefined) return attempt > 0 && seen.run.status.job === childName(seen.run, attempt) ? 'gone' : 'missing';
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
