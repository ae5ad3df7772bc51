// What the operator itself notices about an attempt that trains: no reports, and no checkpoints. Pure; the same after a restart
// of the operator, except that it only counts the time during which it could have heard something.
import type { Progress, RunStatus } from '../api/status.ts';
import type { RunSpec } from './observed.ts';
import { millisOf, rfc3339 } from './instant.ts';
import { isTrue } from './objects.ts';
import type { Situation } from './situation.ts';
import { trainerState } from './workers.ts';
import type { Obstacle } from './workers.ts';

const LEAST_QUIET_SECONDS = 120;
const QUIET_SHARE = 5;
/** What NoReports is a share of when recovery.silenceTimeoutSeconds is 0. */
const USUAL_SILENCE_SECONDS = 3600;
const LEAST_CHECKPOINT_SECONDS = 3600;
/** The longest interval that is chosen by Young and Daly. */
const LONGEST_AUTO_SECONDS = 3600;

/** No report came for recovery.silenceTimeoutSeconds, all of which this operator was listening. */
export function isSilent(s: Situation): boolean {
  return silentAt(s) <= millisOf(s.seen.now);
}

/** What is wrong with an attempt that trains; undefined when nothing is. */
export function neglectOf(s: Situation): Obstacle | undefined {
  return noReports(s) ?? noCheckpoint(s);
}

/** Milliseconds until one of these answers may change; Infinity when none will by time alone. */
export function nextLookMs(s: Situation): number {
  const waits = [silentAt(s), quietAt(s), overdueAt(s)].map((at) => at - millisOf(s.seen.now)).filter((ms) => ms > 0);
  return Math.min(Infinity, ...waits);
}

function noReports(s: Situation): Obstacle | undefined {
  const at = lastSign(s);
  if (at === undefined || !(quietAt(s) <= millisOf(s.seen.now) || isStill(s, 'NoReports', at))) return undefined;
  const { silenceTimeoutSeconds } = recoveryOf(s);
  const then = silenceTimeoutSeconds === 0 ? '' : `; the attempt is replaced when that lasts ${silenceTimeoutSeconds} seconds`;
  return { reason: 'NoReports', message: `no report of the trainer since ${rfc3339(at)}${then}` };
}

function noCheckpoint(s: Situation): Obstacle | undefined {
  const at = checkpointSign(s);
  if (at === undefined || !(overdueAt(s) <= millisOf(s.seen.now) || isStill(s, 'NoCheckpoint', at))) return undefined;
  const newest = s.seen.run.status.checkpoints?.latest?.completedTime;
  const since = newest === undefined ? 'no checkpoint was saved yet' : `no checkpoint was saved since ${newest}`;
  return { reason: 'NoCheckpoint', message: `${since}, for more than three times the interval between checkpoints and more than an hour` };
}

/** What was said stays true while nothing has come since; a restarted operator, which has not waited yet, does not take it back. */
function isStill(s: Situation, reason: string, lastSignMs: number): boolean {
  const said = isTrue(s.seen.run.status.conditions, 'Stalled');
  return said?.reason === reason && said.lastTransitionTime !== undefined && lastSignMs <= millisOf(said.lastTransitionTime);
}

function quietAt(s: Situation): number {
  const seconds = (recoveryOf(s).silenceTimeoutSeconds || USUAL_SILENCE_SECONDS) / QUIET_SHARE;
  return listenedSince(s) + Math.max(LEAST_QUIET_SECONDS, seconds) * 1000;
}

function silentAt(s: Situation): number {
  const { silenceTimeoutSeconds } = recoveryOf(s);
  return silenceTimeoutSeconds === 0 ? Infinity : listenedSince(s) + silenceTimeoutSeconds * 1000;
}

function listenedSince(s: Situation): number {
  const at = lastSign(s);
  const since = s.seen.settings.telemetry?.since;
  return at === undefined || since === undefined ? Infinity : Math.max(at, millisOf(since));
}

/** When something was last heard of the attempt's workers, their start included; undefined when nothing is to be expected. */
function lastSign(s: Situation): number | undefined {
  if (s.jobState !== 'active' || !s.hasStarted || s.seen.settings.telemetry === undefined) return undefined;
  const { progress } = s.seen.run.status;
  const reported = progress?.attempt === s.attempt && progress.lastReportTime !== undefined ? millisOf(progress.lastReportTime) : 0;
  return Math.max(startedAt(s), reported);
}

function startedAt({ pods, seen }: Situation): number {
  const starts = pods.flatMap((pod) => trainerState(pod)?.running?.startedAt ?? []);
  return Math.max(millisOf(seen.run.status.attemptStartTime ?? seen.now), ...starts.map(millisOf));
}

function overdueAt(s: Situation): number {
  const at = checkpointSign(s);
  const { spec, status } = s.seen.run;
  if (at === undefined || spec === undefined) return Infinity;
  return Math.max(at, millisOf(s.seen.settings.telemetry?.since ?? s.seen.now)) + Math.max(LEAST_CHECKPOINT_SECONDS, 3 * intervalSeconds(spec, status)) * 1000;
}

/** The newest checkpoint or the start of the attempt; undefined unless the attempt trains. */
function checkpointSign(s: Situation): number | undefined {
  const { progress, checkpoints } = s.seen.run.status;
  if (lastSign(s) === undefined || progress?.attempt !== s.attempt || progress.stage !== 'Training') return undefined;
  const completed = checkpoints?.latest?.completedTime;
  return Math.max(startedAt(s), completed === undefined ? trainsSince(progress) : millisOf(completed));
}

/** What comes before training, such as a warm start, has no checkpoints. */
function trainsSince({ trainSeconds = 'NaN', lastReportTime }: Progress): number {
  const trainedMs = Number(trainSeconds) * 1000;
  return lastReportTime !== undefined && trainedMs >= 0 ? millisOf(lastReportTime) - trainedMs : 0;
}

function intervalSeconds({ spec: { checkpoint } }: RunSpec, { progress = {} }: RunStatus): number {
  const { everyMinutes, everySteps } = checkpoint;
  if (typeof everyMinutes === 'number') return everyMinutes * 60;
  if (everySteps === undefined) return Number(progress.checkpointEverySeconds ?? LONGEST_AUTO_SECONDS);
  const secondsPerStep = Number(progress.trainSeconds ?? 'NaN') / Math.max(1, progress.step ?? 0);
  return Number.isFinite(secondsPerStep) ? everySteps * secondsPerStep : LONGEST_AUTO_SECONDS;
}

function recoveryOf(s: Situation): { readonly silenceTimeoutSeconds: number } {
  return s.seen.run.spec?.spec.recovery ?? { silenceTimeoutSeconds: 0 };
}
