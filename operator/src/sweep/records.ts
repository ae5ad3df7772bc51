// What is kept of ended runs: one entry per run in ConfigMaps of less than 64 KiB. Pure; adding an entry twice changes nothing.
import type { RunStatus } from '../api/status.ts';
import type { KubeObject } from '../runtime/object.ts';
import { naiveFlops } from './grid.ts';
import { childMeta, shardName } from './naming.ts';
import type { Shard, Sweep, SweepRun } from './observed.ts';
import type { CurvePoint, Point, PointRecord, RunRecord } from './point.ts';
import { processHours } from './spend.ts';

/** Of all entries; metadata comes on top, to stay below 64 KiB. */
const SHARD_BYTES = 60_000;
const MAX_CURVE = 24;
const MAX_MESSAGE = 512;
const MAX_RECORD_BYTES = 8192;

/** What is known of the run besides its status. */
export interface Recorded {
  readonly run: SweepRun;
  readonly point: Point;
  readonly outcome: RunRecord['outcome'];
  /** 6 N D that the run was started for. */
  readonly plannedFlops: number;
  /** Corpus tokens of the trunk's part. */
  readonly tokensBefore: number;
  readonly isTrunk: boolean;
  readonly now: string;
}

/** The entry of a run that has ended, from its whole last status. */
export function recordOf(of: Recorded): RunRecord {
  const { run, point, outcome } = of;
  const { completionTime = of.now, curve = [] } = run.final ?? run.status;
  return {
    id: run.id, retry: run.retry, point, outcome, ...endingOf(of), run: { name: run.name, uid: run.uid },
    ...amountsOf(run), spentFlops: spentFlops(of), gpuHours: processHours(run, of.now), ...lossesOf(run),
    curve: thinned(curve), completedTime: completionTime, ...(of.isTrunk ? { isTrunk: true } : {}),
  };
}

function amountsOf({ final, status }: SweepRun): Pick<RunRecord, 'parameters' | 'parametersWithoutEmbedding' | 'tokens' | 'computedTokens' | 'steps' | 'naiveFlops' | 'flops'> {
  const { parameters = 0, parametersWithoutEmbedding = 0, tokens = 0, computedTokens = 0, step: steps = 0, flops = '0' } = (final ?? status).progress ?? {};
  return { parameters, parametersWithoutEmbedding, tokens, computedTokens, steps, naiveFlops: naiveFlops(parametersWithoutEmbedding, tokens), flops: Number(flops) };
}

function lossesOf({ final, status }: SweepRun): Pick<RunRecord, 'valLoss' | 'valLossStandardError' | 'valPairs' | 'unseenLoss' | 'unseenLossStandardError'> {
  const { validation = {}, progress = {} } = final ?? status;
  const { seenPolicies = {}, unseenPolicies = {} } = validation;
  return defined({
    valLoss: decimal(seenPolicies.loss ?? progress.valLoss), valLossStandardError: decimal(seenPolicies.lossStandardError), valPairs: seenPolicies.pairs,
    unseenLoss: decimal(unseenPolicies.loss), unseenLossStandardError: decimal(unseenPolicies.lossStandardError),
  });
}

/** A run that was to go to its end counts in full, whatever it did over; one that was stopped counts what it trained. */
function spentFlops({ run, outcome, plannedFlops, tokensBefore, point }: Recorded): number {
  if (outcome === 'Succeeded' && point.steps === undefined) return plannedFlops;
  if (outcome === 'Failed') return plannedFlops;
  const { tokens = 0, parametersWithoutEmbedding = 0 } = (run.final ?? run.status).progress ?? {};
  return naiveFlops(parametersWithoutEmbedding, Math.max(0, tokens - tokensBefore));
}

function endingOf({ run, outcome }: Recorded): { reason?: string; message?: string } {
  if (outcome === 'Stopped') return { reason: 'StoppedEarly', message: (run.stopped ?? '').slice(0, MAX_MESSAGE) };
  if (outcome !== 'Failed') return {};
  const failed = (run.final ?? run.status).conditions?.find(({ type }) => type === 'Failed');
  return { reason: failed?.reason ?? 'Failed', message: (failed?.message ?? '').slice(0, MAX_MESSAGE) };
}

/** The validations of a curve. */
export function curvePoints(curve: NonNullable<RunStatus['curve']>): readonly CurvePoint[] {
  return curve.flatMap(({ tokens, valLoss }) => (tokens === undefined || valLoss === undefined ? [] : [{ tokens, valLoss: Number(valLoss) }]));
}

function thinned(curve: NonNullable<RunStatus['curve']>): readonly CurvePoint[] {
  const points = curvePoints(curve);
  const step = (points.length - 1) / (MAX_CURVE - 1);
  return points.length <= MAX_CURVE ? points : Array.from({ length: MAX_CURVE }, (_, index) => points[Math.round(index * step)] as CurvePoint);
}

/** What an entry takes of its ConfigMap as JSON, in which its quotes are escaped, and the note of who wrote it. */
export function entryBytes(key: string, text: string): number {
  return Buffer.byteLength(JSON.stringify(text)) + 3 * key.length + 16;
}

/** Name of a run's entry. */
export function recordKey({ id, retry }: { readonly id: string; readonly retry: number }): string {
  return `${id}-r${retry}`;
}

/** The entries of a ConfigMap's data; those that cannot be read are left out. */
export function recordsIn(data: Readonly<Record<string, string>> = {}): readonly RunRecord[] {
  return Object.values(data).flatMap((text) => {
    try {
      const record = JSON.parse(text) as RunRecord;
      return typeof record.id === 'string' && typeof record.retry === 'number' && Array.isArray(record.curve) ? [record] : [];
    } catch {
      return [];
    }
  });
}

/** What became of each point that has entries: a success, else an early stop, else its last failure. Trunks and removed runs are left out. */
export function pointRecords(records: readonly RunRecord[]): readonly PointRecord[] {
  const RANK = { Succeeded: 3, Stopped: 2, Failed: 1, Removed: 0 } as const;
  const best = new Map<string, RunRecord>();
  for (const record of records) {
    if (record.isTrunk === true || record.outcome === 'Removed') continue;
    const other = best.get(record.id);
    const isBetter = other === undefined || RANK[record.outcome] > RANK[other.outcome] || (record.outcome === other.outcome && record.retry > other.retry);
    if (isBetter) best.set(record.id, record);
  }
  return [...best.values()] as PointRecord[];
}

/** A write of entries into a ConfigMap: a new one, or a merge into the version that was seen. */
export interface RecordWrite {
  readonly isNew: boolean;
  readonly object: KubeObject & { readonly data: Readonly<Record<string, string>> };
}

/** Writes that add the entries, each to the first ConfigMap with room for it. */
export function writesOf(sweep: Sweep, shards: readonly Shard[], records: readonly RunRecord[]): readonly RecordWrite[] {
  const places: { readonly shard: Omit<Shard, 'bytes'>; bytes: number; readonly data: Record<string, string> }[] = shards.map(({ bytes, ...shard }) => ({ shard, bytes, data: {} }));
  for (const record of records) {
    const [key, text] = [recordKey(record), textOf(record)];
    const bytes = entryBytes(key, text);
    let place = places.find((one) => one.bytes + bytes <= SHARD_BYTES);
    if (place === undefined) {
      const index = 1 + Math.max(-1, ...places.map(({ shard }) => shard.index));
      place = { shard: { index, name: shardName(sweep.metadata, index), uid: '', resourceVersion: undefined }, bytes: 0, data: {} };
      places.push(place);
    }
    place.bytes += bytes;
    place.data[key] = text;
  }
  return places.filter(({ data }) => Object.keys(data).length > 0).map(({ shard, data }) => writeOf(sweep, shard, data));
}

function writeOf(sweep: Sweep, { name, uid, resourceVersion }: Omit<Shard, 'bytes'>, data: Readonly<Record<string, string>>): RecordWrite {
  const about = { apiVersion: 'v1', kind: 'ConfigMap', data };
  if (uid === '') return { isNew: true, object: { ...about, metadata: childMeta(sweep.metadata, name) } };
  return { isNew: false, object: { ...about, metadata: { name, namespace: sweep.metadata.namespace, uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) } } };
}

function textOf(record: RunRecord): string {
  const text = JSON.stringify(record);
  return text.length <= MAX_RECORD_BYTES ? text : JSON.stringify({ ...record, curve: [], message: record.message?.slice(0, 100) });
}

function decimal(text: string | undefined): number | undefined {
  return text === undefined || text === '' || !Number.isFinite(Number(text)) ? undefined : Number(text);
}

function defined<T extends object>(fields: { readonly [F in keyof T]: T[F] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
