// From what was observed to what is to be done. Pure: the same input gives the same plan.
//
//   ended runs  -> one entry each, written first
//   open runs   -> stop when suspended, off the axes, stopped early or out of GPU-hours; else go on
//   points      -> resumed first, then started, smallest first, while parallelism, GPUs and budget allow
import type { SweepSpec } from '../api/sweep.ts';
import type { Action } from '../runtime/apply.ts';
import { after, capacityOf, limitOf, millisToStop, needOf } from './capacity.ts';
import type { Limit } from './capacity.ts';
import { desiredRun } from './desired.ts';
import type { DesiredRun } from './desired.ts';
import { expiryOf, forgetRemoved, setTimeToLive } from './tidy.ts';
import type { Observed, SweepRun } from './observed.ts';
import { situationOf } from './situation.ts';
import type { Situation } from './situation.ts';
import { resume, stop } from './stopping.ts';
import { endOf } from './ending.ts';
import type { Ending } from './ending.ts';

export interface Start {
  readonly object: DesiredRun;
  /** A run of the point failed before. */
  readonly isRetry: boolean;
}

export interface Plan {
  readonly situation: Situation;
  /** To stop, resume, delete and mark runs; after the entries are written. */
  readonly actions: readonly Action[];
  readonly starts: readonly Start[];
  /** What kept the next run from being started. */
  readonly limit: Limit | undefined;
  /** Names of points to come, strategy planned only. */
  readonly next: readonly string[];
  readonly ending: Ending | undefined;
  readonly requeueAfterMs: number | undefined;
}

const LEAST_WAIT_MS = 500;
const UNSETTLED_MS = 5000;

/** The plan for a sweep whose spec parses and that is not being deleted. */
export function planSweep(seen: Observed, spec: SweepSpec): Plan {
  const s = situationOf(seen, spec);
  const stopMs = millisToStop(spec, s.open, s.ledger);
  const stops = stopsOf(s, stopMs <= 0);
  const { starts, resumes, limit } = startsOf(s, stops, stopMs <= 0);
  const isQuiet = starts.length === 0 && resumes.length === 0 && stops.length === 0;
  const ending = isQuiet ? endOf(s, limit) : undefined;
  const expiry = expiryOf(s, ending !== undefined);
  const isUnsettled = s.newRecords.length < seen.runs.filter(({ final }) => final !== undefined).length;
  const waits = [stopMs, expiry.afterMs, isUnsettled ? UNSETTLED_MS : Infinity].filter((ms) => ms > 0 && Number.isFinite(ms));
  return {
    situation: s, starts, limit, ending, next: [],
    actions: [...forgetRemoved(s), ...stops.map((run) => stop(s, run)), ...resumes.map((run) => resume(s, run)), ...setTimeToLive(s), ...expiry.actions],
    requeueAfterMs: waits.length === 0 ? undefined : Math.max(LEAST_WAIT_MS, Math.min(...waits)),
  };
}

/** Runs that are to stop and were not asked to. */
function stopsOf(s: Situation, isOutOfHours: boolean): readonly SweepRun[] {
  const gone = new Set(s.orphans);
  return s.open.filter((run) => !run.isAskedToStop && !run.isDeleted && (s.spec.suspend || isOutOfHours || gone.has(run)));
}

interface Starts {
  readonly starts: readonly Start[];
  readonly resumes: readonly SweepRun[];
  readonly limit: Limit | undefined;
}

function startsOf(s: Situation, stops: readonly SweepRun[], isOutOfHours: boolean): Starts {
  const starts: Start[] = [];
  const resumes: SweepRun[] = [];
  if (s.spec.suspend || isOutOfHours) return { starts, resumes, limit: isOutOfHours ? 'budget.gpuHours' : undefined };
  let left = capacityOf(s.spec, s.open, s.ledger);
  let opened = s.open.length;
  for (const point of toStart(s)) {
    const { run, of, flops, retry } = point;
    const need = run === undefined ? needOf(s.spec, s.ledger, { parameters: of.parameters, flops }) : resumeNeed(s, run);
    const limit = limitOf(left, need, run === undefined ? opened : 0);
    if (limit !== undefined) return { starts, resumes, limit };
    left = after(left, need);
    opened += 1;
    if (run === undefined) starts.push({ object: desiredRun({ metadata: s.seen.sweep.metadata, spec: s.spec }, of, retry), isRetry: point.record !== undefined });
    else if (!stops.includes(run)) resumes.push(run);
  }
  return { starts, resumes, limit: undefined };
}

/** Runs that were asked to stop and may go on, then points that wait. */
function toStart({ points }: Situation): readonly Situation['points'][number][] {
  const paused = points.filter(({ run }) => run?.isAskedToStop === true && run.stopped === undefined && !run.isDeleted);
  return [...paused, ...points.filter(({ state }) => state === 'Waiting')];
}

/** What it still needs is set aside already; one that is still stopping has its place. */
function resumeNeed({ spec, ledger }: Situation, run: SweepRun): ReturnType<typeof needOf> {
  const { processes, gpuHours } = needOf(spec, ledger, { parameters: 1, flops: 0 });
  const isActive = run.state === 'Active';
  return { processes: isActive ? 0 : processes, flops: 0, gpuHours: isActive ? 0 : gpuHours };
}
