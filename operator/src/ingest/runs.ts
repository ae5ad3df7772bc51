// The runs ingest knows, by UID: from the caches of both kinds, or read from the API server where a cache may lag.
import type { BranchPoints } from '../api/branchPoints.ts';
import type { RunStatus } from '../api/status.ts';
import type { KubeClient } from '../runtime/client.ts';
import type { KubeObject, Resource } from '../runtime/object.ts';
import type { StoreReader } from '../runtime/store.ts';
import { get } from '../runtime/verbs.ts';

/** What ingest reads of a PolarPretrain or PolarFinetune. */
export interface Run extends KubeObject {
  readonly spec?: { readonly suspend?: boolean; readonly checkpoint?: BranchPoints };
  readonly status?: RunStatus;
}

/** One kind of run and the cache of its objects. */
export interface RunCache {
  readonly resource: Resource;
  readonly store: StoreReader<Run>;
}

/** Where a run is; the UID says which of several objects that had this name. */
export interface RunRef {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface Runs {
  readonly resourceOf: (kind: string) => Resource | undefined;
  /** The run of that UID if it is where the reference says: an owner reference may name any UID. Without a name, any name will do. */
  readonly cached: (ref: Omit<RunRef, 'name'> & { readonly name?: string | undefined }) => Run | undefined;
  /** Asks the API server; undefined when the run is gone or another one has its name. Throws ApiError. */
  readonly live: (ref: RunRef) => Promise<Run | undefined>;
}

export function runsFrom(client: KubeClient, caches: readonly RunCache[]): Runs {
  const cacheOf = (kind: string): RunCache | undefined => caches.find((cache) => cache.resource.kind === kind);
  return {
    resourceOf: (kind) => cacheOf(kind)?.resource,
    cached: ({ kind, namespace, name, uid }) => {
      const run = cacheOf(kind)?.store.byUid(uid);
      return run?.metadata.namespace === namespace && (name === undefined || run.metadata.name === name) ? run : undefined;
    },
    live: async ({ kind, namespace, name, uid }) => {
      const resource = cacheOf(kind)?.resource;
      const run = resource === undefined ? undefined : await get<Run>(client, resource, { namespace, name });
      return run?.metadata.uid === uid ? run : undefined;
    },
  };
}

/** What the operator asks of the trainer of a run. */
export interface Wish {
  /** Save a checkpoint and leave: the run is suspended or being deleted, or its present attempt is asked to stop. */
  readonly saveAndStop: boolean;
  /** Steps of checkpoints that stay: other objects refer to them, or the spec lists them. */
  readonly keepSteps: readonly number[];
}

export function wishOf({ spec, metadata, status }: Run): Wish {
  const isAskedToStop = status?.stopRequest?.attempt !== undefined && status.stopRequest.attempt === status.attempt;
  return { saveAndStop: spec?.suspend === true || metadata.deletionTimestamp !== undefined || isAskedToStop, keepSteps: keptSteps(spec, status) };
}

function keptSteps(spec: Run['spec'], { protectedSteps = [] }: RunStatus = {}): readonly number[] {
  const listed = spec?.checkpoint?.keepSteps;
  return listed === undefined ? protectedSteps : [...listed, ...protectedSteps];
}

export function isSameWish(a: Wish, b: Wish): boolean {
  return a.saveAndStop === b.saveAndStop && a.keepSteps.length === b.keepSteps.length && a.keepSteps.every((step, i) => step === b.keepSteps[i]);
}
