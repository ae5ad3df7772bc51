// All reading: from a key to one value. Caches answer, except for the last status of a run that has ended.
import { ANNOTATION_POINT, ANNOTATION_RETRY, ANNOTATION_STOPPED, LABEL_POINT, LABEL_SWEEP_UID } from '../api/labels.ts';
import { parseCount } from '../api/scalars.ts';
import type { RunStatus } from '../api/status.ts';
import { sweepSpec } from '../api/sweep.ts';
import type { SweepSpec } from '../api/sweep.ts';
import { RUN_RESOURCES } from '../run/caches.ts';
import type { Caches, StoredRun } from '../run/caches.ts';
import { isTrue } from '../run/objects.ts';
import type { ConfigMap } from '../run/objects.ts';
import { issueOf } from '../run/parseSpec.ts';
import { readableStatus } from '../run/readStatus.ts';
import type { KubeClient } from '../runtime/client.ts';
import { controllerOf, splitKey } from '../runtime/object.ts';
import { listEach } from '../runtime/verbs.ts';
import { BY_SWEEP, runsOf } from './caches.ts';
import type { StoredSweep, SweepCaches } from './caches.ts';
import type { Curves } from './curves.ts';
import { gridOf } from './grid.ts';
import type { GridPoint } from './grid.ts';
import type { Observed, RunState, Shard, Sweep, SweepRun } from './observed.ts';
import { eachLive } from './live.ts';
import type { Point, RunRecord } from './point.ts';
import type { RecentRuns } from './recent.ts';
import { entryBytes, recordsIn } from './records.ts';
import { endedRuns } from './situation.ts';

export interface ObserveDeps {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly sweepCaches: SweepCaches;
  readonly recent: RecentRuns;
  readonly curves: Curves;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export interface Seen {
  readonly seen: Observed;
  /** More runs have ended than were asked for. */
  readonly hasMore: boolean;
}

/** Runs whose last status is asked for in a pass. */
const READ_PER_PASS = 50;

/** Undefined when the sweep is gone or is being deleted: the rest is up to the garbage collector. */
export async function observe(deps: ObserveDeps, key: string): Promise<Seen | undefined> {
  const { namespace, name } = splitKey(key);
  const stored = deps.sweepCaches.sweeps.store.get(namespace, name);
  if (stored === undefined || stored.metadata.deletionTimestamp !== undefined) return undefined;
  const sweep = sweepOf(stored);
  const uid = sweep.metadata.uid;
  const shards = deps.sweepCaches.records.store.byIndex(BY_SWEEP, uid).filter((shard) => controllerOf(shard)?.uid === uid);
  const seen: Observed = {
    now: new Date(deps.now()).toISOString(), sweep,
    grid: sweep.spec === undefined ? [] : grid(sweep.spec),
    runs: deps.recent.with(uid, runsOf(deps.caches, uid)).flatMap((run) => runOf(run) ?? []),
    shards: shards.flatMap((shard) => shardOf(shard) ?? []).sort((a, b) => a.index - b.index),
    records: shards.flatMap(records),
  };
  const ended = endedRuns(seen);
  const finals = await readFinals(deps, sweep, ended.slice(0, READ_PER_PASS));
  const runs = await withCurves(deps, sweep, seen.runs.map((run) => finals.get(run.uid) ?? run));
  return { seen: { ...seen, runs }, hasMore: ended.length > READ_PER_PASS };
}

async function withCurves({ client, curves }: ObserveDeps, { spec, metadata: { namespace } }: Sweep, runs: readonly SweepRun[]): Promise<readonly SweepRun[]> {
  if (spec?.earlyStopping === undefined) return runs;
  const compared = await curves.of(client, namespace, runs.filter(({ state }) => state === 'Active'));
  const byUid = new Map(compared.map((run) => [run.uid, run]));
  return runs.map((run) => byUid.get(run.uid) ?? run);
}

/** Asks the API server for all runs of the sweep. */
export async function listRuns(deps: ObserveDeps, { metadata: { namespace, uid } }: Sweep): Promise<readonly StoredRun[]> {
  const runs: StoredRun[] = [];
  await listEach<StoredRun>(deps.client, RUN_RESOURCES.PolarPretrain, { namespace, labelSelector: `${LABEL_SWEEP_UID}=${uid}`, unread: ['managedFields', 'curve'] }, (run) => runs.push(run));
  return runs.filter((run) => controllerOf(run)?.uid === uid);
}

async function readFinals(deps: ObserveDeps, { metadata: { namespace } }: Sweep, runs: readonly SweepRun[]): Promise<ReadonlyMap<string, SweepRun>> {
  const finals = new Map<string, SweepRun>();
  await eachLive(deps.client, namespace, runs, (run, live) => {
    // One that is gone meanwhile is recorded from what the cache has.
    const read = (live && runOf(live)) ?? run;
    finals.set(run.uid, { ...read, final: read.status });
  });
  return finals;
}

/** A sweep as it is stored, with its spec parsed. */
export function sweepOf(stored: StoredSweep): Sweep {
  const { namespace = '', uid = '' } = stored.metadata;
  return { metadata: { ...stored.metadata, namespace, uid }, status: stored.status ?? {}, ...parsed(stored.spec) };
}

/** Undefined for a run without the marks of a point: somebody has taken them off, or it is not of our making. */
export function runOf(stored: StoredRun): SweepRun | undefined {
  const { name, uid = '', resourceVersion, generation, deletionTimestamp } = stored.metadata;
  const marks = marksOf(stored);
  if (marks === undefined) return undefined;
  const status = readableStatus(stored.status);
  const { suspend = false, workers, ttlSecondsAfterFinished, resumeFrom, budget } = (stored.spec ?? {}) as LooseSpec;
  return {
    ...marks, name, uid, resourceVersion, isDeleted: deletionTimestamp !== undefined, isAskedToStop: suspend, hasTtl: ttlSecondsAfterFinished !== undefined,
    isBranch: resumeFrom !== undefined, budget: budgetOf(budget),
    processes: (workers?.replicas ?? 1) * Math.max(1, workers?.gpusPerWorker ?? 0), state: stateOf(status, { generation, isAskedToStop: suspend }), status,
  };
}

function marksOf({ metadata: { labels = {}, annotations = {} } }: StoredRun): Pick<SweepRun, 'id' | 'retry' | 'point' | 'stopped'> | undefined {
  const id = labels[LABEL_POINT];
  const retry = Number(annotations[ANNOTATION_RETRY]);
  const point = pointIn(annotations[ANNOTATION_POINT]);
  return id === undefined || !Number.isSafeInteger(retry) || point === undefined ? undefined : { id, retry, point, stopped: annotations[ANNOTATION_STOPPED] };
}

interface LooseSpec {
  readonly suspend?: boolean;
  readonly workers?: { readonly replicas?: number; readonly gpusPerWorker?: number };
  readonly ttlSecondsAfterFinished?: number;
  readonly resumeFrom?: object;
  readonly budget?: { readonly steps?: number; readonly tokens?: string };
}

function budgetOf({ steps, tokens }: NonNullable<LooseSpec['budget']> = {}): SweepRun['budget'] {
  return tokens === undefined ? { steps: steps ?? 0 } : { tokens: parseCount(tokens) };
}

/** A condition that is older than the wish to stop says nothing about it. */
function stateOf({ conditions }: RunStatus, { generation, isAskedToStop }: { readonly generation: number | undefined; readonly isAskedToStop: boolean }): RunState {
  if (isTrue(conditions, 'Complete') !== undefined) return 'Complete';
  if (isTrue(conditions, 'Failed') !== undefined) return 'Failed';
  const suspended = conditions?.find(({ type, status: is }) => type === 'Suspended' && is === 'True');
  const isCurrent = suspended?.observedGeneration === undefined || generation === undefined || suspended.observedGeneration >= generation;
  return isAskedToStop && suspended !== undefined && isCurrent ? 'Suspended' : 'Active';
}

function pointIn(text: string | undefined): Point | undefined {
  try {
    const point = JSON.parse(text ?? '') as Point;
    return typeof point.size === 'string' && typeof point.learningRate === 'string' ? point : undefined;
  } catch {
    return undefined;
  }
}

function shardOf({ metadata: { name, uid = '', resourceVersion }, data = {} }: ConfigMap): Shard | undefined {
  const index = Number(/-(\d+)$/.exec(name)?.[1] ?? 'NaN');
  if (!Number.isSafeInteger(index)) return undefined;
  const bytes = Object.entries(data).reduce((sum, [key, text]) => sum + entryBytes(key, text), 0);
  return { index, name, uid, resourceVersion, bytes };
}

// What is stored is frozen and replaced as a whole, so what follows from it is computed once.
const specs = new WeakMap<object, Pick<Sweep, 'spec' | 'specIssue'>>();
const grids = new WeakMap<SweepSpec, readonly GridPoint[]>();
const shardRecords = new WeakMap<ConfigMap, readonly RunRecord[]>();

function parsed(spec: unknown): Pick<Sweep, 'spec' | 'specIssue'> {
  return typeof spec === 'object' && spec !== null ? remembered(specs, spec, parse) : parse(spec);
}

function parse(spec: unknown): Pick<Sweep, 'spec' | 'specIssue'> {
  const result = sweepSpec.safeParse(spec);
  return result.success ? { spec: result.data } : { specIssue: issueOf(result.error) };
}

function grid(spec: SweepSpec): readonly GridPoint[] {
  return remembered(grids, spec, gridOf);
}

function records(shard: ConfigMap): readonly RunRecord[] {
  return remembered(shardRecords, shard, ({ data }) => recordsIn(data));
}

function remembered<K extends object, V>(map: WeakMap<K, V>, key: K, derive: (key: K) => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const value = derive(key);
  map.set(key, value);
  return value;
}
