// From what was observed to what is to be done. Pure: the same input gives the same plan.
//
//   ended runs  -> one entry each, written first
//   open runs   -> stop when suspended, off the axes, stopped early or out of GPU-hours; else go on
//   points      -> resumed first, then started, smallest first, while parallelism, GPUs and budget allow
import type { Action } from '../runtime/apply.ts';
import { after, capacityOf, limitOf, millisToStop, needOf } from './capacity.ts';
import type { Capacity, Limit, Need } from './capacity.ts';
import { desiredRun } from './desired.ts';
import type { DesiredRun } from './desired.ts';
import { expiryOf, forgetRemoved, setTimeToLive } from './tidy.ts';
import type { FitView } from './fitView.ts';
import { describePoint } from './naming.ts';
import type { SweepRun } from './observed.ts';
import { choicesOf } from './planned.ts';
import type { PointView, Situation } from './situation.ts';
import { resume, stop } from './stopping.ts';
import { endOf } from './ending.ts';
import type { Ending, PlannedEnd } from './ending.ts';

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

/** The plan for a sweep whose spec parses and that is not being deleted. `design` is the law to plan with, of all points that have ended. */
export function planSweep(s: Situation, design: FitView['design']): Plan {
  const { seen, spec } = s;
  const stopMs = millisToStop(spec, s.open, s.ledger);
  const stops = stopsOf(s, stopMs <= 0);
  const order = orderOf(s, design);
  const { starts, resumes, limit } = startsOf(s, stops, stopMs <= 0 ? 'hours' : order);
  const isQuiet = starts.length === 0 && resumes.length === 0 && stops.length === 0;
  const ending = isQuiet ? endOf(s, limit, order === 'pending' ? undefined : order.end) : undefined;
  const expiry = expiryOf(s, ending !== undefined);
  const isUnsettled = s.newRecords.length < seen.runs.filter(({ final }) => final !== undefined).length;
  const waits = [stopMs, expiry.afterMs, isUnsettled ? UNSETTLED_MS : Infinity].filter((ms) => ms > 0 && Number.isFinite(ms));
  return {
    situation: s, starts, limit, ending, next: nextNames(order, starts),
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

function startsOf(s: Situation, stops: readonly SweepRun[], order: Order | 'pending' | 'hours'): Starts {
  if (s.spec.suspend) return { starts: [], resumes: [], limit: undefined };
  if (order === 'hours') return { starts: [], resumes: [], limit: 'budget.gpuHours' };
  const resumed = takeWhile(capacityOf(s.spec, s.open, s.ledger), pausedOf(s, stops), (run, left) => {
    const need = resumeNeed(s, run);
    return limitOf(left, need, 0) ?? need;
  });
  const waiting = order === 'pending' ? [] : order.points;
  const started = takeWhile(resumed.left, resumed.limit === undefined ? waiting : [], (point, left, count) => {
    const need = needOf(s.spec, s.ledger, { parameters: point.of.parameters, flops: point.flops });
    return limitOf(left, need, s.open.length + count) ?? need;
  });
  const starts = started.taken.map(({ of, retry, record }) => ({ object: desiredRun({ metadata: s.seen.sweep.metadata, spec: s.spec }, of, retry), isRetry: record !== undefined }));
  return { starts, resumes: resumed.taken, limit: resumed.limit ?? started.limit ?? (order === 'pending' ? 'fit' : undefined) };
}

interface Taken<T> { readonly taken: readonly T[]; readonly left: Capacity; readonly limit: Limit | undefined }

/** The first ones that fit into what is left, one after the other. */
function takeWhile<T>(capacity: Capacity, wanted: readonly T[], needOrLimit: (one: T, left: Capacity, count: number) => Need | Limit): Taken<T> {
  const taken: T[] = [];
  let left = capacity;
  for (const one of wanted) {
    const need = needOrLimit(one, left, taken.length);
    if (typeof need === 'string') return { taken, left, limit: need };
    left = after(left, need);
    taken.push(one);
  }
  return { taken, left, limit: undefined };
}

/** Runs that were asked to stop and may go on. */
function pausedOf({ points }: Situation, stops: readonly SweepRun[]): readonly SweepRun[] {
  return points.flatMap(({ run }) => (run?.isAskedToStop === true && run.stopped === undefined && !run.isDeleted && !stops.includes(run) ? [run] : []));
}

/** Points that wait, in the order to start them. */
interface Order {
  readonly points: readonly PointView[];
  /** Why no more are to be started although some wait. */
  readonly end: PlannedEnd | undefined;
  readonly isPlanned: boolean;
}

const AHEAD = 10;

function orderOf(s: Situation, design: FitView['design']): Order | 'pending' {
  const waiting = s.points.filter(({ state }) => state === 'Waiting');
  if (s.spec.strategy === 'grid') return { points: waiting, end: undefined, isPlanned: false };
  if (design === 'pending') return 'pending';
  const { choices, isDone, message, halfWidthPercent = Infinity } = choicesOf(s, design, s.spec.parallelism + AHEAD);
  const byId = new Map(waiting.map((point) => [point.of.id, point]));
  const isPrecise = halfWidthPercent <= (s.spec.precisionPercent ?? -1);
  const end = !isDone || waiting.length === 0 ? undefined : { reason: isPrecise ? 'PrecisionReached' as const : 'BudgetExhausted' as const, message };
  return { points: choices.flatMap(({ candidate: { id } }) => byId.get(id) ?? []), end, isPlanned: true };
}

function nextNames(order: Order | 'pending', starts: readonly Start[]): readonly string[] {
  if (order === 'pending' || !order.isPlanned) return [];
  return order.points.slice(starts.length).map(({ of }) => describePoint(of.point));
}

/** What it still needs is set aside already; one that is still stopping has its place. */
function resumeNeed({ spec, ledger }: Situation, run: SweepRun): ReturnType<typeof needOf> {
  const { processes, gpuHours } = needOf(spec, ledger, { parameters: 1, flops: 0 });
  const isActive = run.state === 'Active';
  return { processes: isActive ? 0 : processes, flops: 0, gpuHours: isActive ? 0 : gpuHours };
}
