// The reflectors that sweeps are observed through, besides that of runs, and which sweep a changed object concerns.
import { API_VERSION, LABEL_SWEEP_UID } from '../api/labels.ts';
import { POLAR_SWEEP } from '../api/kinds.ts';
import type { SweepStatus } from '../api/sweepStatus.ts';
import { BY_CONTROLLER } from '../run/caches.ts';
import type { CacheOptions, Caches, StoredRun } from '../run/caches.ts';
import { withoutLastApplied } from '../run/compact.ts';
import { CONFIG_MAPS } from '../run/objects.ts';
import type { ConfigMap } from '../run/objects.ts';
import { controllerOf, keyOf } from '../runtime/object.ts';
import type { KubeObject, Resource } from '../runtime/object.ts';
import { Reflector } from '../runtime/reflector.ts';

/** A PolarSweep as it is stored: its spec not yet parsed. */
export interface StoredSweep extends KubeObject {
  readonly spec?: unknown;
  readonly status?: SweepStatus;
}

export interface SweepCaches {
  readonly sweeps: Reflector<StoredSweep>;
  /** ConfigMaps of records, with their data. */
  readonly records: Reflector<ConfigMap>;
}

export const BY_SWEEP = 'sweep-uid';
export const SWEEPS: Resource = { apiVersion: API_VERSION, kind: POLAR_SWEEP.kind, plural: POLAR_SWEEP.plural, namespaced: true };

export function sweepCaches({ client, log, timing }: CacheOptions): SweepCaches {
  const options = { client, log, ...(timing === undefined ? {} : { timing }) };
  return {
    sweeps: new Reflector<StoredSweep>({ ...options, resource: SWEEPS, transform: withoutCopy }),
    records: new Reflector<ConfigMap>({ ...options, resource: CONFIG_MAPS, labelSelector: LABEL_SWEEP_UID, indexes: { [BY_SWEEP]: sweepUids } }),
  };
}

export function allSweepCaches({ sweeps, records }: SweepCaches): readonly Reflector<never>[] {
  return [sweeps, records] as unknown as readonly Reflector<never>[];
}

export interface Subscription {
  /** The sweep itself has changed. */
  readonly now: (key: string) => void;
  /** Something of it has, as happens often. */
  readonly soon: (key: string) => void;
}

/** Every change that may concern a sweep tells that sweep's key. */
export function subscribeSweeps({ sweeps, records }: SweepCaches, runs: Caches['runs']['PolarPretrain'], { now, soon }: Subscription): void {
  const keysOf = (uid: string | undefined): readonly string[] => {
    const sweep = uid === undefined ? undefined : sweeps.store.byUid(uid);
    return sweep === undefined ? [] : [keyOf(sweep)];
  };
  sweeps.subscribe((sweep) => [keyOf(sweep)], now);
  runs.subscribe((run) => keysOf(controllerOf(run)?.uid), soon);
  records.subscribe((shard) => keysOf(controllerOf(shard)?.uid), soon);
}

/** Runs that the sweep controls. */
export function runsOf(caches: Caches, uid: string): readonly StoredRun[] {
  return caches.runs.PolarPretrain.store.byIndex(BY_CONTROLLER, uid);
}

function sweepUids({ metadata: { labels } }: ConfigMap): readonly string[] {
  const uid = labels?.[LABEL_SWEEP_UID];
  return uid === undefined ? [] : [uid];
}

function withoutCopy(sweep: StoredSweep): StoredSweep {
  const { annotations } = sweep.metadata;
  return annotations === undefined ? sweep : { ...sweep, metadata: { ...sweep.metadata, annotations: withoutLastApplied(annotations) } };
}
