// A sweep as it is in the cluster: its status, what its points measured, and the runs that go on.
import { GROUP, LABEL_POINT, LABEL_SWEEP_UID, VERSION } from '../api/labels.ts';
import type { SweepSpec } from '../api/sweep.ts';
import { sweepSpec } from '../api/sweep.ts';
import type { SweepStatus } from '../api/sweepStatus.ts';
import { ApiError, isNotFound } from '../runtime/apiError.ts';
import type { ObjectMeta } from '../runtime/object.ts';
import { gridOf } from '../sweep/grid.ts';
import type { GridPoint } from '../sweep/grid.ts';
import type { PointRecord } from '../sweep/point.ts';
import { pointRecords, recordsIn } from '../sweep/records.ts';
import type { Cluster } from './cluster.ts';
import { Failure } from './command.ts';

/** A run that has no record yet. */
export interface LiveRun {
  readonly name: string;
  readonly id: string;
  readonly phase: string;
  readonly step: string;
  readonly totalSteps: string;
  readonly valLoss: string;
}

export interface SweepView {
  readonly metadata: ObjectMeta & { readonly namespace: string; readonly uid: string };
  readonly spec: SweepSpec;
  readonly status: SweepStatus;
  /** Points of the axes. */
  readonly grid: readonly GridPoint[];
  /** By id; also of points that are no longer on the axes. */
  readonly records: ReadonlyMap<string, PointRecord>;
  /** By id of the point; empty when the user may not list runs. */
  readonly live: ReadonlyMap<string, LiveRun>;
}

interface SweepObject {
  readonly metadata: SweepView['metadata'];
  readonly spec: unknown;
  readonly status?: SweepStatus;
}

interface ConfigMapList { readonly items: readonly { readonly data?: Readonly<Record<string, string>> }[] }

interface Table {
  readonly columnDefinitions: readonly { readonly name: string }[];
  readonly rows: readonly { readonly cells: readonly unknown[]; readonly object: { readonly metadata: ObjectMeta } }[];
}

/** Throws Failure when there is no such sweep, it may not be read or does not parse. */
export async function readSweep(cluster: Cluster, name: string): Promise<SweepView> {
  const { namespace } = cluster;
  const own = `/apis/${GROUP}/${VERSION}/namespaces/${encodeURIComponent(namespace)}`;
  const { metadata, spec, status = {} } = await explained(cluster, name, cluster.get<SweepObject>(`${own}/polarsweeps/${encodeURIComponent(name)}`));
  const parsed = sweepSpec.safeParse(spec);
  if (!parsed.success) throw new Failure(`PolarSweep ${namespace}/${name}: ${parsed.error.issues.map(({ path, message }) => `${['spec', ...path.map(String)].join('.')}: ${message}`).join('; ')}; is this kubectl polar older than the operator?`);
  const labelSelector = `${LABEL_SWEEP_UID}=${metadata.uid}`;
  const [shards, live] = await Promise.all([
    explained(cluster, name, cluster.get<ConfigMapList>(`/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps`, { labelSelector })),
    liveRuns(cluster, `${own}/polarpretrains`, labelSelector),
  ]);
  const records = pointRecords(shards.items.flatMap(({ data }) => recordsIn(data)));
  return { metadata, spec: parsed.data, status, grid: gridOf(parsed.data), records: new Map(records.map((record) => [record.id, record])), live };
}

/** As the API server prints them: a thousand runs with their curves would be 60 MB. */
async function liveRuns(cluster: Cluster, path: string, labelSelector: string): Promise<ReadonlyMap<string, LiveRun>> {
  try {
    const { columnDefinitions, rows } = await cluster.get<Table>(path, { labelSelector, includeObject: 'Metadata' }, 'application/json;as=Table;g=meta.k8s.io;v=v1');
    const index = new Map(columnDefinitions.map((column, at) => [column.name, at]));
    const cell = (cells: readonly unknown[], column: string): string => {
      const value = cells[index.get(column) ?? -1];
      return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
    };
    return new Map(rows.map(({ cells, object: { metadata } }) => {
      const id = metadata.labels?.[LABEL_POINT] ?? '';
      return [id, { name: metadata.name ?? '', id, phase: cell(cells, 'Phase'), step: cell(cells, 'Step'), totalSteps: cell(cells, 'Total'), valLoss: cell(cells, 'Val-Loss') }];
    }));
  } catch (error) {
    if (error instanceof ApiError && error.status === 403) return new Map();
    throw error;
  }
}

async function explained<T>({ context, namespace }: Cluster, name: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (isNotFound(error) && error.reason === 'NotFound') throw new Failure(`no PolarSweep "${name}" in namespace ${namespace} of context ${context}`);
    if (isNotFound(error)) throw new Failure(`context ${context} serves no PolarSweep: are the resource definitions of ${GROUP} installed there?`);
    throw new Failure(`context ${context}: ${error.message}`);
  }
}
