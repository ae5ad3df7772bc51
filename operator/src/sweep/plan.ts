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
import { earlyStops } from './early.ts';
import type { FitView } from './fitView.ts';
import { describePoint } from './naming.ts';
import type { SweepRun } from './observed.ts';
import { choicesOf, isTested } from './planned.ts';
import type { PointView, Situation } from './situation.ts';
import { extend, resume, stop } from './stopping.ts';
import { worksOf } from './works.ts';
import type { Work } from './works.ts';
import { endOf } from './ending.ts';
import type { Ending, PlannedEnd } from './ending.ts';

export interface Start {
  readonly object: DesiredRun;
  /** Of the point or trunk. */
  readonly id: string;
  /** A run of it failed before. */
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
  const stopMs = millisToStop(s.spec, s.open, s.ledger);
  const stops = stopsOf(s, stopMs <= 0);
  const early = s.spec.suspend || stopMs <= 0 ? [] : earlyStops(s);
  const order = orderOf(s, design);
  const { starts, extensions, resumes, limit } = startsOf(s, stops, stopMs <= 0 ? 'hours' : order);
  const isQuiet = starts.length + extensions.length + early.length + resumes.length + stops.length === 0;
  const ending = isQuiet ? endOf(s, limit, order === 'pending' ? undefined : order.end) : undefined;
  const expiry = expiryOf(s, ending !== undefined);
  return {
    situation: s, starts, limit, ending, next: nextNames(order, starts), requeueAfterMs: soonest([stopMs, expiry.afterMs, unsettledMs(s)]),
    actions: [
      ...forgetRemoved(s), ...stops.map((run) => stop(s, run)), ...early.map(({ run, message }) => stop(s, run, message)),
      ...resumes.map((run) => resume(s, run)), ...extensions, ...setTimeToLive(s), ...expiry.actions,
    ],
  };
}

/** Runs whose last report is waited for are asked again. */
function unsettledMs({ seen, newRecords }: Situation): number {
  return newRecords.length < seen.runs.filter(({ final }) => final !== undefined).length ? UNSETTLED_MS : Infinity;
}

function soonest(waits: readonly number[]): number | undefined {
  const due = Math.min(...waits.filter((ms) => ms > 0));
  return Number.isFinite(due) ? Math.max(LEAST_WAIT_MS, due) : undefined;
}

/** Runs that are to stop and were not asked to. */
function stopsOf(s: Situation, isOutOfHours: boolean): readonly SweepRun[] {
  const gone = new Set(s.orphans);
  return s.open.filter((run) => !run.isAskedToStop && !run.isDeleted && (s.spec.suspend || isOutOfHours || gone.has(run)));
}

interface Starts {
  readonly starts: readonly Start[];
  readonly extensions: readonly Action[];
  readonly resumes: readonly SweepRun[];
  readonly limit: Limit | undefined;
}

function startsOf(s: Situation, stops: readonly SweepRun[], order: Order | 'pending' | 'hours'): Starts {
  if (s.spec.suspend) return { starts: [], extensions: [], resumes: [], limit: undefined };
  if (order === 'hours') return { starts: [], extensions: [], resumes: [], limit: 'budget.gpuHours' };
  const resumed = takeWhile(capacityOf(s.spec, s.open, s.ledger), pausedOf(s, stops), (run, left) => {
    const need = resumeNeed(s, run);
    return limitOf(left, need, 0) ?? need;
  });
  // A plan reaches as far as there are places: its trunks are made no longer than that.
  const works = order === 'pending' || resumed.limit !== undefined ? [] : worksOf(s, order.isPlanned ? order.points.slice(0, s.spec.parallelism) : order.points);
  const started = takeWhile(resumed.left, works, (work, left, count) => {
    const need = needOf(s.spec, s.ledger, { parameters: work.of.parameters, flops: work.flops });
    return limitOf(left, need, s.open.length + count) ?? need;
  });
  const sweep = { metadata: s.seen.sweep.metadata, spec: s.spec };
  const starts = started.taken.flatMap((work) => (work.do === 'extend' ? [] : [{ object: desiredRun(sweep, work), isRetry: hasFailedBefore(s, work), id: work.of.id }]));
  const extensions = started.taken.flatMap((work) => (work.do === 'extend' ? [extend(s, work)] : []));
  return { starts, extensions, resumes: resumed.taken, limit: resumed.limit ?? started.limit ?? (order === 'pending' ? 'fit' : undefined) };
}

function hasFailedBefore({ records }: Situation, { of, retry }: Work): boolean {
  return retry > 0 && records.some(({ id, outcome }) => id === of.id && outcome === 'Failed');
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
function pausedOf({ points, trunks }: Situation, stops: readonly SweepRun[]): readonly SweepRun[] {
  return [...trunks, ...points].flatMap(({ run }) => (run?.isAskedToStop === true && run.stopped === undefined && !run.isDeleted && !stops.includes(run) ? [run] : []));
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
  const isPrecise = isTested(design) && halfWidthPercent <= (s.spec.precisionPercent ?? -1);
  const end = !isDone || waiting.length === 0 ? undefined : { reason: isPrecise ? 'PrecisionReached' as const : 'BudgetExhausted' as const, message };
  return { points: choices.flatMap(({ candidate: { id } }) => byId.get(id) ?? []), end, isPlanned: true };
}

function nextNames(order: Order | 'pending', starts: readonly Start[]): readonly string[] {
  if (order === 'pending' || !order.isPlanned) return [];
  const started = new Set(starts.map(({ id }) => id));
  return order.points.filter(({ of }) => !started.has(of.id)).map(({ of }) => describePoint(of.point));
}

/** What it still needs is set aside already; one that is still stopping has its place. */
function resumeNeed({ spec, ledger }: Situation, run: SweepRun): ReturnType<typeof needOf> {
  const { processes, gpuHours } = needOf(spec, ledger, { parameters: 1, flops: 0 });
  const isActive = run.state === 'Active';
  return { processes: isActive ? 0 : processes, flops: 0, gpuHours: isActive ? 0 : gpuHours };
}
