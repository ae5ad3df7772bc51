// Where every point of a sweep stands, from what was observed. Pure.
import type { SweepSpec } from '../api/sweep.ts';
import { millisOf } from '../run/instant.ts';
import { mostTokensPerTriplet, naiveFlops, tokensOf } from './grid.ts';
import { branchPoint } from './design/cooldown.ts';
import type { GridPoint } from './grid.ts';
import { isTrunkId } from './naming.ts';
import type { Observed, SweepRun } from './observed.ts';
import type { Point, RunRecord } from './point.ts';
import { recordKey, recordOf } from './records.ts';
import { ledgerOf } from './spend.ts';
import type { Ledger, Open } from './spend.ts';
import { trunkViews } from './trunks.ts';
import type { TrunkView } from './trunks.ts';

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
  /** Of cooldowns that are reused, as far as any point of the axes needs them. */
  readonly trunks: readonly TrunkView[];
  readonly openByKey: ReadonlyMap<string, SweepRun>;
  readonly ledger: Ledger;
  /** Corpus tokens of a group, where budgets are in steps: measured, or the most that there can be. */
  readonly tokensPerTriplet: number;
}

/** Runs that are to be recorded now, for which the whole status is needed. Those that are being deleted come first. */
export function endedRuns(seen: Observed): readonly SweepRun[] {
  const known = new Set(seen.records.map(recordKey));
  const ids = idsOf(seen);
  return seen.runs.filter((run) => !known.has(recordKey(run)) && outcomeOf(run, ids.has(run.id)) !== undefined);
}

const LATE_MS = 120_000;

/** The last validation is in the status: a run may be complete before, when nobody could hear its trainer. It is not waited for without end. */
export function isSettled({ final, state }: SweepRun, now: string): boolean {
  if (final === undefined) return false;
  const { progress = {}, validation, registry = [], completionTime } = final;
  if (state !== 'Complete' || (progress.stage === 'Done' && validation?.step === progress.step)) return true;
  return registry.some(({ task }) => task === 'report') || (completionTime !== undefined && millisOf(completionTime) + LATE_MS <= millisOf(now));
}

/** Ids of points on the axes and of their trunks. */
function idsOf({ grid, sweep: { spec } }: Observed): ReadonlySet<string> {
  const trunks = spec === undefined ? [] : trunkViews({ grid, spec, records: [], openByKey: new Map() });
  return new Set([...grid, ...trunks].map(({ id }) => id));
}

/** Undefined while it is open, as a trunk is for as long as points may branch from it. */
function outcomeOf({ id, state, stopped }: SweepRun, isOnAxes: boolean): RunRecord['outcome'] | undefined {
  if (state === 'Complete' && isTrunkId(id)) return isOnAxes ? undefined : 'Removed';
  if (state === 'Complete') return 'Succeeded';
  if (state === 'Failed') return 'Failed';
  if (state !== 'Suspended') return undefined;
  if (!isOnAxes) return 'Removed';
  return stopped === undefined ? undefined : 'Stopped';
}

export function situationOf(seen: Observed, spec: SweepSpec): Situation {
  const tokensPerTriplet = measuredTokens(seen, spec);
  const ids = idsOf(seen);
  const costs: Costs = { byId: new Map(seen.grid.map((point) => [point.id, point])), tokensPerTriplet, spec };
  const newRecords = endedRuns(seen).filter((run) => isSettled(run, seen.now)).flatMap((run) => {
    const outcome = outcomeOf(run, ids.has(run.id));
    if (outcome === undefined) return [];
    const { plannedFlops, tokensBefore } = costOf(run, costs);
    return [recordOf({ run, point: run.point, outcome, plannedFlops, tokensBefore, isTrunk: isTrunkId(run.id), now: seen.now })];
  });
  const records = [...seen.records, ...newRecords];
  const known = new Map(records.map((record) => [recordKey(record), record]));
  const open = seen.runs.filter((run) => !known.has(recordKey(run)));
  const openByKey = new Map(open.map((run) => [recordKey(run), run]));
  const recordsById = Map.groupBy(records, ({ id }) => id);
  const points = seen.grid.map((of) => pointView({ of, spec, flops: flopsOf(of, tokensPerTriplet), records: recordsById.get(of.id) ?? [], openByKey }));
  return {
    seen, spec, newRecords, records, open, openByKey, tokensPerTriplet,
    points: points.toSorted((a, b) => a.flops - b.flops),
    trunks: trunkViews({ grid: seen.grid, spec, records, openByKey }),
    orphans: open.filter(({ id }) => !ids.has(id)),
    recorded: seen.runs.flatMap((run) => { const record = known.get(recordKey(run)); return record === undefined ? [] : [{ run, record }]; }),
    ledger: ledgerOf(records, open.map((run) => costOf(run, costs)), seen.now),
  };
}

interface Costs {
  readonly byId: ReadonlyMap<string, GridPoint>;
  readonly tokensPerTriplet: number;
  readonly spec: SweepSpec;
}

function flopsOf({ parameters, point }: Pick<GridPoint, 'parameters' | 'point'>, tokensPerTriplet: number): number {
  return naiveFlops(parameters, tokensOf(point, tokensPerTriplet));
}

/** What a run was started for: of a branch what comes after its trunk. */
function costOf(run: SweepRun, { byId, tokensPerTriplet, spec }: Costs): Open {
  const { tokens = 0, parametersWithoutEmbedding = 0 } = run.status.progress ?? {};
  const sized = byId.get(run.id) ?? [...byId.values()].find(({ point }) => point.size === run.point.size);
  const parameters = sized?.parameters ?? parametersWithoutEmbedding;
  const tokensBefore = run.isBranch ? branchedAt(run, spec, tokensPerTriplet) : 0;
  const whole = needsNoMore(run, byId) ? tokens : tokensOf({ ...run.point, ...run.budget }, tokensPerTriplet);
  return { run, parameters, plannedFlops: naiveFlops(parameters, Math.max(0, whole - tokensBefore)), tokensBefore };
}

/** A trunk that is done, or a run of a point that is gone, which stops: nothing is set aside for it. */
function needsNoMore({ id, state }: SweepRun, byId: Costs['byId']): boolean {
  return isTrunkId(id) ? state === 'Complete' : !byId.has(id);
}

/** Corpus tokens of the trunk's part. */
function branchedAt({ status, point }: SweepRun, spec: SweepSpec, tokensPerTriplet: number): number {
  return status.startedFrom?.tokens ?? tokensOf(cut(point, spec), tokensPerTriplet);
}

/** The point without its cooldown. */
function cut(point: Point, { cooldowns }: SweepSpec): Point {
  const percent = cooldowns?.percent ?? 0;
  return { ...point, ...(point.tokens === undefined ? { steps: branchPoint(point.steps ?? 0, percent) } : { tokens: branchPoint(point.tokens, percent) }) };
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
