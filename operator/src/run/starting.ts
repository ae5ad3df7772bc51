// The start of an attempt: how long it may take, and what it waits for.
import type { Condition } from '../api/status.ts';
import { millisOf, rfc3339 } from './instant.ts';
import { isTrue } from './objects.ts';
import type { Situation } from './situation.ts';

/** When the workers of the attempt must all have started, in milliseconds since the epoch. */
export function startDeadline(s: Situation): number {
  return Math.max(millisOf(s.job?.metadata.creationTimestamp ?? s.seen.now), admittedSince(s)) + startDeadlineSeconds(s) * 1000;
}

/** Why the attempt is given up, once its workers have not all started in time; undefined before. */
export function startedTooSlowly(s: Situation): string | undefined {
  if (s.hasStarted) return undefined;
  return s.jobState === 'active' ? workersTooSlow(s) : s.jobState === 'missing' ? refusedTooLong(s) : undefined;
}

/** What an attempt is held up by, with the time at which that is no longer waited for. */
export function heldUp(s: Situation, message: string): string {
  return s.hasStarted ? message : `${message}; gives up at ${rfc3339(startDeadline(s))}`;
}

/** The same when the API server refuses the Job itself. */
export function refused(s: Situation, message: string): string {
  if (s.jobState !== 'missing') return message;
  const since = refusalInStatus(s)?.lastTransitionTime ?? s.seen.now;
  return `${message}; gives up at ${rfc3339(millisOf(since) + startDeadlineSeconds(s) * 1000)}`;
}

function workersTooSlow(s: Situation): string | undefined {
  if (millisOf(s.seen.now) < startDeadline(s)) return undefined;
  const why = s.obstacle === undefined ? '' : `: ${s.obstacle.reason}: ${s.obstacle.message}`;
  return `the ${s.replicas} workers of attempt ${s.attempt} did not all start within ${startDeadlineSeconds(s)} seconds${why}`;
}

/** Counted from the first refusal: an operator that was away has not been refused. */
function refusedTooLong(s: Situation): string | undefined {
  const refusal = refusalInStatus(s);
  if (s.attempt === 0 || refusal === undefined || millisOf(s.seen.now) < millisOf(refusal.lastTransitionTime) + startDeadlineSeconds(s) * 1000) return undefined;
  return `attempt ${s.attempt} could not be created for ${startDeadlineSeconds(s)} seconds: ${refusal.reason}: ${refusal.message.replace(/; gives up at [^;]*$/, '')}`;
}

function refusalInStatus({ seen }: Situation): Condition | undefined {
  const stalled = isTrue(seen.run.status.conditions, 'Stalled') as Condition | undefined;
  return stalled?.reason === 'PodCreationRefused' ? stalled : undefined;
}

/** A Job that waits in a queue of its own is not late. */
function admittedSince({ seen: { run, now } }: Situation): number {
  const { status, lastTransitionTime } = run.status.conditions?.find(({ type }) => type === 'Admitted') ?? {};
  return status === 'False' ? millisOf(now) : lastTransitionTime === undefined ? 0 : millisOf(lastTransitionTime);
}

function startDeadlineSeconds(s: Situation): number {
  return s.seen.run.spec?.spec.recovery.startDeadlineSeconds ?? 0;
}
