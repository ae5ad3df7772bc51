// How much of a run's time went into training that counts.
import type { RunStatus } from '../api/status.ts';
import { millisOf, rfc3339 } from './instant.ts';
import { isTrue } from './objects.ts';
import type { RunSpec } from './observed.ts';
import type { Situation } from './situation.ts';

type Idle = Pick<RunStatus, 'idleSeconds' | 'idleSince'>;

/** Llama 3: 419 unexpected interruptions in 54 days of 16,384 GPUs, in seconds of one device between two of them. */
const PRIOR_DEVICE_SECONDS = 50_760 * 3600;
const WORTH_A_WRITE = 0.01;

/** Time suspended or waiting for quota since the first attempt; the time for which a run was over before it went on is idle too. */
export function idleOf(s: Situation, conditions: RunStatus['conditions']): Idle {
  const { startTime, idleSince, idleSeconds, completionTime } = s.seen.run.status;
  if (startTime === undefined) return {};
  const over = completionTime !== undefined && !s.isOver ? secondsBetween(completionTime, s.seen.now) : 0;
  const isIdle = !s.isOver && s.livePods.length === 0 && !mayRun(s) && waits(conditions);
  if (isIdle) return { idleSeconds: sum(idleSeconds, over), idleSince: idleSince ?? rfc3339(millisOf(s.seen.now)) };
  return { idleSeconds: sum(idleSeconds, over + (idleSince === undefined ? 0 : secondsBetween(idleSince, s.seen.now))) };
}

/** Its Job makes pods. */
function mayRun({ job, jobState }: Situation): boolean {
  return jobState === 'active' && job?.spec.suspend !== true;
}

/** trainSeconds over the time since startTime that was not idle; undefined while that is not known. */
export function effectiveTime(status: RunStatus, now: string): string | undefined {
  const { startTime, completionTime, idleSeconds = 0, idleSince, progress } = status;
  const trained = Number(progress?.trainSeconds ?? 'NaN');
  if (startTime === undefined || !(trained >= 0)) return undefined;
  const idle = idleSeconds + (idleSince === undefined ? 0 : secondsBetween(idleSince, now));
  const span = secondsBetween(startTime, completionTime ?? now) - idle;
  return span <= 0 ? undefined : Math.min(1, trained / span).toFixed(3);
}

/** Whether the share has moved so much that it is worth a write of its own. */
export function isFar(before: string | undefined, after: string | undefined): boolean {
  if (before === undefined || after === undefined) return before !== after;
  return Math.abs(Number(after) - Number(before)) >= WORTH_A_WRITE;
}

/** Mean time between failures of the run in seconds: what large clusters saw, corrected by what this run saw until the attempt began. */
export function meanSecondsBetweenFailures({ spec: { workers } }: RunSpec, status: RunStatus): number {
  const { startTime, attemptStartTime, idleSeconds = 0, restarts = 0 } = status;
  const devices = workers.replicas * Math.max(1, workers.gpusPerWorker);
  const ran = startTime === undefined || attemptStartTime === undefined ? 0 : secondsBetween(startTime, attemptStartTime) - idleSeconds;
  return Math.max(1, Math.round((PRIOR_DEVICE_SECONDS / devices + Math.max(0, ran)) / (1 + restarts)));
}

function waits(conditions: RunStatus['conditions']): boolean {
  return isTrue(conditions, 'Suspended') !== undefined || conditions?.some(({ type, status }) => type === 'Admitted' && status === 'False') === true;
}

function secondsBetween(from: string, to: string): number {
  return Math.max(0, Math.round((millisOf(to) - millisOf(from)) / 1000));
}

function sum(before: number | undefined, more: number): number | undefined {
  return before === undefined && more === 0 ? undefined : (before ?? 0) + more;
}
