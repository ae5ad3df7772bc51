// Save first: an attempt is asked to save a checkpoint and stop before its Job is deleted. The request is written to status
// before anything is done about it: ingest on every replica tells the trainer, and a restarted operator knows why and since when.
import type { RunStatus } from '../api/status.ts';
import { stopJob } from './children.ts';
import { millisOf, rfc3339 } from './instant.ts';
import { losesQuota } from './queueing.ts';
import type { Situation } from './situation.ts';
import type { Verdict } from './verdict.ts';
import { isSilent } from './watching.ts';

export type StopReason = 'SuspendRequested' | 'Evicted' | 'BudgetRaised' | 'SpecChanged' | 'Silent';

export interface StopRequest {
  readonly attempt: number;
  readonly reason: StopReason;
  /** RFC 3339. */
  readonly time: string;
}

/** Why an attempt that runs should stop; the first that holds is what its workers and the user are told. */
const WANTED: readonly (readonly [StopReason, (s: Situation) => boolean])[] = [
  ['SuspendRequested', isToBeSuspended],
  ['Evicted', losesQuota],
  ['BudgetRaised', (s) => s.isBudgetRaised],
  ['SpecChanged', isBlockedAndMended],
  ['Silent', isSilent],
];

/** The request in status when it is for this attempt. It holds until the attempt has ended, whatever becomes of its reason: workers may already be on their way out. */
export function stopRequestOf({ stopRequest }: RunStatus, attempt: number): StopRequest | undefined {
  if (stopRequest?.attempt !== attempt || stopRequest.reason === undefined || stopRequest.time === undefined) return undefined;
  return { attempt, reason: stopRequest.reason as StopReason, time: stopRequest.time };
}

/** Asks first, then waits until the pods have ended or the time to save is over, then deletes the Job, which sends SIGTERM. */
export function isStopping(s: Situation): Verdict | undefined {
  if (s.job === undefined || s.jobState !== 'active') return undefined;
  const request = s.stopRequest ?? wantedStop(s);
  if (request === undefined) return undefined;
  const waitMs = canSave(s) ? saveDeadline(s, request) - millisOf(s.seen.now) : 0;
  const progressing = waitMs > 0 ? saving(s, request) : stopped(s, request);
  if (s.stopRequest === undefined) return { stops: request, progressing };
  return waitMs > 0 ? { requeueAfterMs: waitMs, progressing } : { actions: stopJob(s.job), progressing };
}

function wantedStop(s: Situation): StopRequest | undefined {
  const reason = WANTED.find(([, holds]) => holds(s))?.[0];
  return reason === undefined ? undefined : { attempt: s.attempt, reason, time: rfc3339(millisOf(s.seen.now)) };
}

/** Workers that have not all started have nothing to save; without reports they are told by SIGTERM alone. */
function canSave(s: Situation): boolean {
  return s.hasStarted && s.seen.settings.telemetry !== undefined;
}

function saveDeadline(s: Situation, { reason, time }: StopRequest): number {
  const { recovery, queue } = s.seen.run.spec?.spec ?? {};
  const seconds = (reason === 'Evicted' ? queue?.evictionGraceSeconds : undefined) ?? recovery?.saveTimeoutSeconds ?? 0;
  return millisOf(time) + seconds * 1000;
}

function saving(s: Situation, request: StopRequest): Verdict['progressing'] {
  const until = rfc3339(saveDeadline(s, request));
  return { status: 'True', reason: 'Saving', message: `the workers of attempt ${s.attempt} are asked to save a checkpoint and stop, at the latest at ${until}: ${SAID[request.reason]}` };
}

function stopped(s: Situation, { reason }: StopRequest): Verdict['progressing'] {
  return { status: 'False', reason: 'RestartPending', message: `attempt ${s.attempt} is being stopped: ${SAID[reason]}` };
}

const SAID: Readonly<Record<StopReason, string>> = {
  SuspendRequested: 'spec.suspend was set',
  Evicted: 'Kueue takes the quota back',
  BudgetRaised: 'spec.budget was raised, the next attempt has the new one',
  SpecChanged: 'it could not start and the spec has changed since, the next attempt takes its place',
  Silent: 'no report came for recovery.silenceTimeoutSeconds',
};

function isToBeSuspended(s: Situation): boolean {
  return s.seen.run.spec?.spec.suspend === true;
}

function isBlockedAndMended(s: Situation): boolean {
  return s.obstacle !== undefined && !s.hasStarted && s.isOutdated;
}
