// When the next attempt may start. All from what was observed: a restarted operator computes the same instant.
import type { Situation } from './situation.ts';
import { millisOf } from './instant.ts';
import { isTrue } from './objects.ts';

const FIRST_DELAY_SECONDS = 10;
const MAX_DELAY_SECONDS = 300;
// An attempt that lived this long was not stopped by what stops an attempt at its start.
const LONG_LIFE_SECONDS = 600;

/** Earliest instant of the next attempt in milliseconds since the epoch; the first restart and those after a long life or a stop that was asked for are not delayed. */
export function earliestRestart(s: Situation): number {
  const { status } = s.seen.run;
  const startedAt = millisOf(status.attemptStartTime ?? s.seen.now);
  const endedAt = Math.min(recordedAt(s), millisOf(s.failure?.at ?? s.stopRequest?.time ?? status.attemptStartTime ?? s.seen.now));
  // A run that was over goes on because somebody raised something.
  if (status.completionTime !== undefined || wasAsked(s) || endedAt - startedAt > LONG_LIFE_SECONDS * 1000) return endedAt;
  return endedAt + delaySeconds(s.restarts + s.interruptions) * 1000;
}

/** The end of the attempt as status has it, which is never later than when it was written down. */
function recordedAt({ attempt, seen }: Situation): number {
  const { lastFailure } = seen.run.status;
  return lastFailure?.attempt === attempt && lastFailure.time !== undefined ? millisOf(lastFailure.time) : Infinity;
}

/** The attempt ended because it was told to; what a silent one does wrong may happen again. */
function wasAsked({ stopRequest, failure, seen }: Situation): boolean {
  const bySuspension = failure?.policy !== 'charged' && isTrue(seen.run.status.conditions, 'Suspended') !== undefined;
  return bySuspension || (stopRequest !== undefined && stopRequest.reason !== 'Silent' && failure?.policy !== 'charged');
}

/** 0, 10, 20, 40 ... 300 seconds after 0, 1, 2, 3 ... earlier restarts. */
export function delaySeconds(earlier: number): number {
  return earlier === 0 ? 0 : Math.min(FIRST_DELAY_SECONDS * 2 ** Math.min(earlier - 1, 10), MAX_DELAY_SECONDS);
}
