// Where every point of a sweep stands, from what was observed. Pure.
import type { SweepSpec } from '../api/sweep.ts';
import { millisOf } from '../run/instant.ts';
import { mostTokensPerTriplet, naiveFlops, tokensOf } from './grid.ts';
import type { GridPoint } from './grid.ts';
import type { Observed, SweepRun } from './observed.ts';
import type { Point, RunRecord } from './point.ts';
import { recordKey, recordOf } from './records.ts';
import { ledgerOf } from './spend.ts';
import type { Ledger } from './spend.ts';

export type PointState = 'Waiting' | 'Running' | 'Suspended' | 'Succeeded' | 'Failed' | 'Stopped';

export interface PointView {
  readonly of: GridPoint;
  readonly state: PointState;
  /** Number of its run that is open, or of the next one. */
  readonly retry: number;
  /** Open: not recorded yet. */
  readonly run: SweepRun | undefined;
  /** What decided its state, or its last failure. */
  readonly record: RunRecord | undefined;
  /** 6 N D of one run of it. */
  readonly flops: number;
}

export interface Situation {
  readonly seen: Observed;
  readonly spec: SweepSpec;
  /** Smallest first. */
  readonly points: readonly PointView[];
  /** Entries to be written now. */
  readonly newRecords: readonly RunRecord[];
  /** With the new ones. */
  readonly records: readonly RunRecord[];
  /** Runs without entry, also of points that are gone. */
  readonly open: readonly SweepRun[];
  /** Open runs whose points are no longer on the axes. */
  readonly orphans: readonly SweepRun[];
  /** Runs with an entry. */
  readonly recorded: readonly { readonly run: SweepRun; readonly record: RunRecord }[];
  readonly ledger: Ledger;
  /** Corpus tokens of a group, where budgets are in steps: measured, or the most that there can be. */
  readonly tokensPerTriplet: number;
}

/** Runs that are to be recorded now, for which the whole status is needed. Those that are being deleted come first. */
export function endedRuns(seen: Observed): readonly SweepRun[] {
  const known = new Set(seen.records.map(recordKey));
  const ids = new Set(seen.grid.map(({ id }) => id));
  return seen.runs.filter((run) => !known.has(recordKey(run)) && outcomeOf(run, ids.has(run.id)) !== undefined);
}

const LATE_MS = 120_000;

/** The last report is in the status: a run may be complete before, when nobody could hear its trainer. It is not waited for without end. */
export function isSettled({ final, state }: SweepRun, now: string): boolean {
  if (final === undefined) return false;
  const { progress = {}, registry = [], completionTime } = final;
  if (state !== 'Complete' || (progress.stage === 'Done' && progress.source !== 'LastWords')) return true;
  return registry.some(({ task }) => task === 'report') || (completionTime !== undefined && millisOf(completionTime) + LATE_MS <= millisOf(now));
}

/** Undefined while it is open. */
function outcomeOf({ state, stopped }: SweepRun, isOnAxes: boolean): RunRecord['outcome'] | undefined {
  if (state === 'Complete') return 'Succeeded';
  if (state === 'Failed') return 'Failed';
  if (state !== 'Suspended') return undefined;
  if (!isOnAxes) return 'Removed';
  return stopped === undefined ? undefined : 'Stopped';
}

export function situationOf(seen: Observed, spec: SweepSpec): Situation {
  const perTriplet = measuredTokens(seen, spec);
  const byId = new Map(seen.grid.map((point) => [point.id, point]));
  const flopsOf = ({ parameters, point }: GridPoint): number => naiveFlops(parameters, tokensOf(point, perTriplet));
  const newRecords = endedRuns(seen).filter((run) => isSettled(run, seen.now)).flatMap((run) => {
    const outcome = outcomeOf(run, byId.has(run.id));
    const of = byId.get(run.id);
    return outcome === undefined ? [] : [recordOf({ run, point: run.point, outcome, plannedFlops: of === undefined ? 0 : flopsOf(of), tokensBefore: 0, isTrunk: false, now: seen.now })];
  });
  const records = [...seen.records, ...newRecords];
  const known = new Map(records.map((record) => [recordKey(record), record]));
  const open = seen.runs.filter((run) => !known.has(recordKey(run)));
  const recordsById = Map.groupBy(records, ({ id }) => id);
  const openByKey = new Map(open.map((run) => [recordKey(run), run]));
  const points = seen.grid.map((of) => pointView({ of, spec, flops: flopsOf(of), records: recordsById.get(of.id) ?? [], openByKey }));
  return {
    seen, spec, newRecords, records, open, tokensPerTriplet: perTriplet,
    points: points.toSorted((a, b) => a.flops - b.flops),
    orphans: open.filter(({ id }) => !byId.has(id)),
    recorded: seen.runs.flatMap((run) => { const record = known.get(recordKey(run)); return record === undefined ? [] : [{ run, record }]; }),
    ledger: ledgerOf(records, open.map((run) => openOf(run, byId.get(run.id), flopsOf)), seen.now),
  };
}

interface Viewed {
  readonly of: GridPoint;
  readonly spec: SweepSpec;
  readonly flops: number;
  readonly records: readonly RunRecord[];
  readonly openByKey: ReadonlyMap<string, SweepRun>;
}

function pointView({ of, spec, flops, records, openByKey }: Viewed): PointView {
  const done = records.find(({ outcome }) => outcome === 'Succeeded') ?? records.find(({ outcome }) => outcome === 'Stopped');
  // A run that was removed or has failed has used its name.
  const retry = records.length === 0 ? 0 : 1 + Math.max(...records.map((record) => record.retry));
  const failures = records.filter(({ outcome }) => outcome === 'Failed').sort((a, b) => a.retry - b.retry);
  const run = done === undefined ? openByKey.get(recordKey({ id: of.id, retry })) : undefined;
  const base = { of, retry, flops, run, record: done ?? failures.at(-1) };
  if (done !== undefined) return { ...base, state: done.outcome === 'Succeeded' ? 'Succeeded' : 'Stopped' };
  if (run !== undefined) return { ...base, state: run.state === 'Suspended' ? 'Suspended' : 'Running' };
  return { ...base, state: failures.length > spec.maxRetries ? 'Failed' : 'Waiting' };
}

function openOf(run: SweepRun, of: GridPoint | undefined, flopsOf: (of: GridPoint) => number): Parameters<typeof ledgerOf>[1][number] {
  // Of a point that is gone nothing is set aside: its run is stopping.
  const { tokens = 0, parametersWithoutEmbedding = 0 } = run.status.progress ?? {};
  if (of === undefined) return { run, parameters: parametersWithoutEmbedding, plannedFlops: naiveFlops(parametersWithoutEmbedding, tokens), tokensBefore: 0 };
  return { run, parameters: of.parameters, plannedFlops: flopsOf(of), tokensBefore: 0 };
}

const ENOUGH_STEPS = 5;

/** The most that any run had, or what a group can have at most before one has trained. */
function measuredTokens({ records, runs }: Observed, spec: SweepSpec): number {
  if (spec.axes.tokens !== undefined) return 1;
  const batchOf = (batch: Point['batchTriplets']): number => (typeof batch === 'number' ? batch : Infinity);
  const ended = records.map(({ tokens, steps, point }) => ({ tokens, steps, batch: batchOf(point.batchTriplets) }));
  const running = runs.map(({ status: { progress = {} }, point }) => ({ tokens: progress.stage === 'WarmStart' ? 0 : progress.tokens ?? 0, steps: progress.step ?? 0, batch: batchOf(point.batchTriplets) }));
  const measured = [...ended, ...running].filter(({ tokens, steps }) => tokens > 0 && steps >= ENOUGH_STEPS).map(({ tokens, steps, batch }) => tokens / steps / batch);
  return measured.length === 0 ? mostTokensPerTriplet(spec) : Math.max(...measured);
}
