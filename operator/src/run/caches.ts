// The reflectors that runs are observed through, and which runs a changed object concerns.
import { API_VERSION, LABEL_RUN_UID } from '../api/labels.ts';
import { POLAR_FINETUNE, POLAR_PRETRAIN } from '../api/kinds.ts';
import { parseVolumeUri } from '../api/scalars.ts';
import type { RunStatus } from '../api/status.ts';
import type { KubeClient } from '../runtime/client.ts';
import type { Log } from '../runtime/log.ts';
import { controllerOf, keyOf } from '../runtime/object.ts';
import type { KubeObject, Resource } from '../runtime/object.ts';
import { OptionalReflector } from '../runtime/optional.ts';
import { Reflector } from '../runtime/reflector.ts';
import type { ReflectorTiming } from '../runtime/reflector.ts';
import { sharing } from '../runtime/share.ts';
import { compacting } from './compact.ts';
import { CLAIMS, CONFIG_MAPS, JOBS, PODS, SERVICES } from './objects.ts';
import type { Claim, ConfigMap, Job, Pod, Service } from './objects.ts';
import { FLAVORS, WORKLOADS, lightWorkload } from './kueue.ts';
import type { Flavor, Workload } from './kueue.ts';
import type { RunKind } from './observed.ts';
import { POD_GROUPS } from './podGroup.ts';
import type { GangScheduler, PodGroup } from './podGroup.ts';

/** A PolarPretrain or PolarFinetune as it is stored: its spec not yet parsed. */
export interface StoredRun extends KubeObject {
  readonly spec?: { readonly suspend?: boolean };
  readonly status?: RunStatus;
}

export interface Caches {
  readonly runs: Readonly<Record<RunKind, Reflector<StoredRun>>>;
  readonly jobs: Reflector<Job>;
  readonly pods: Reflector<Pod>;
  readonly services: Reflector<Service>;
  readonly configMaps: Reflector<ConfigMap>;
  readonly claims: Reflector<Claim>;
  /** Of Kueue and gang schedulers, which a cluster may lack. */
  readonly workloads: OptionalReflector<Workload>;
  readonly flavors: OptionalReflector<Flavor>;
  readonly podGroups: Readonly<Record<GangScheduler, OptionalReflector<PodGroup>>>;
}

/** Values that may come again soon, as in the next objects of a list. */
const REMEMBERED = 2048;

export const BY_RUN = 'run-uid';
export const BY_CLAIM = 'claim';
export const BY_SOURCE = 'source';
export const BY_QUEUE = 'queue';
/** UID of what controls a run, such as a sweep. */
export const BY_CONTROLLER = 'controller';
const QUEUED = 'queued';

const resourceOf = ({ kind, plural }: { kind: string; plural: string }): Resource => ({ apiVersion: API_VERSION, kind, plural, namespaced: true });

export const RUN_RESOURCES: Readonly<Record<RunKind, Resource>> = { PolarPretrain: resourceOf(POLAR_PRETRAIN), PolarFinetune: resourceOf(POLAR_FINETUNE) };

export interface CacheOptions {
  readonly client: KubeClient;
  readonly log: Log;
  readonly timing?: Partial<ReflectorTiming>;
  /** Time between two questions whether Kueue and gang schedulers are installed; a minute unless told. */
  readonly lookMs?: number;
}

export function runCaches(options: CacheOptions): Caches {
  const compact = compacting(sharing(REMEMBERED));
  const runs = (kind: RunKind): Reflector<StoredRun> =>
    new Reflector({ ...options, resource: RUN_RESOURCES[kind], transform: compact.run, unread: ['curve'], indexes: { [BY_CLAIM]: claimKeys, [BY_SOURCE]: sourceKeys, [BY_CONTROLLER]: controllerUids, [BY_QUEUE]: (run) => (looseSpec(run).queue === undefined ? [] : [QUEUED]) } });
  const children = { ...options, labelSelector: LABEL_RUN_UID, indexes: { [BY_RUN]: runUids } };
  const podGroups = (scheduler: GangScheduler): OptionalReflector<PodGroup> => new OptionalReflector({ ...children, resource: POD_GROUPS[scheduler] });
  return {
    runs: { PolarPretrain: runs('PolarPretrain'), PolarFinetune: runs('PolarFinetune') },
    jobs: new Reflector<Job>({ ...children, resource: JOBS, transform: compact.job, unread: ['template'] }),
    pods: new Reflector<Pod>({ ...children, resource: PODS, transform: compact.pod, unread: ['containers', 'initContainers', 'volumes'] }),
    services: new Reflector<Service>({ ...children, resource: SERVICES, transform: compact.service }),
    configMaps: new Reflector<ConfigMap>({ ...children, resource: CONFIG_MAPS, transform: compact.configMap, unread: ['data', 'binaryData'] }),
    claims: new Reflector<Claim>({ ...options, resource: CLAIMS }),
    workloads: new OptionalReflector<Workload>({ ...children, resource: WORKLOADS, transform: lightWorkload }),
    flavors: new OptionalReflector<Flavor>({ ...options, resource: FLAVORS }),
    podGroups: { volcano: podGroups('volcano'), coscheduling: podGroups('coscheduling') },
  };
}

export function allCaches(caches: Caches): readonly Reflector<never>[] {
  const { runs, podGroups, ...others } = caches;
  return [...Object.values(runs), ...Object.values(podGroups), ...Object.values(others)] as unknown as readonly Reflector<never>[];
}

/** Every change that may concern a run of this kind puts that run's key into the queue. */
export function subscribeRuns(caches: Caches, kind: RunKind, enqueue: (key: string) => void): void {
  const runs = caches.runs[kind];
  const owner = (child: KubeObject): readonly string[] => runUids(child).flatMap((uid) => keysOf(runs.store.byUid(uid)));
  runs.subscribe((run) => [keyOf(run)], enqueue);
  for (const children of [caches.jobs, caches.pods, caches.services, caches.configMaps, caches.workloads]) (children as Reflector<KubeObject>).subscribe(owner, enqueue);
  caches.claims.subscribe((claim) => runs.store.byIndex(BY_CLAIM, keyOf(claim)).map(keyOf), enqueue);
  // Flavors are few and change rarely; their first arrival is how runs learn that Kueue was installed.
  caches.flavors.subscribe(() => runs.store.byIndex(BY_QUEUE, QUEUED).map(keyOf), enqueue);
  const sources = caches.runs.PolarPretrain;
  const startingFrom = (source: StoredRun): readonly string[] => runs.store.byIndex(BY_SOURCE, keyOf(source)).map(keyOf);
  sources.subscribe(startingFrom, enqueue);
  if (kind === 'PolarPretrain') for (const others of Object.values(caches.runs)) others.subscribe(sourceKeys, enqueue);
  // The checkpoint to start from lies on the claim of the pre-train, which the run that starts from it does not name.
  caches.claims.subscribe((claim) => sources.store.byIndex(BY_CLAIM, keyOf(claim)).flatMap(startingFrom), enqueue);
}

function keysOf(object: KubeObject | undefined): readonly string[] {
  return object === undefined ? [] : [keyOf(object)];
}

function controllerUids(run: KubeObject): readonly string[] {
  const owner = controllerOf(run);
  return owner === undefined ? [] : [owner.uid];
}

function runUids(child: KubeObject): readonly string[] {
  const uid = child.metadata.labels?.[LABEL_RUN_UID];
  return uid === undefined ? [] : [uid];
}

// A stored spec may be anything an older schema let in, so indexes look at it without trusting it.
function claimKeys(run: StoredRun): readonly string[] {
  const { checkpoint } = looseSpec(run);
  const uris = urisOf(run).flatMap((uri) => (typeof uri === 'string' ? [parseVolumeUri(uri).claim] : []));
  const store = checkpoint?.store?.pvc;
  return [...uris, ...(typeof store === 'string' ? [store] : [])].map((claim) => `${run.metadata.namespace ?? ''}/${claim}`);
}

function urisOf(run: StoredRun): readonly unknown[] {
  const { model, data, init, resumeFrom } = looseSpec(run);
  return [model?.init?.uri, resumeFrom?.uri, model?.tokenizer?.uri, data?.uri, init?.uri, run.status?.startedFrom?.uri];
}

function sourceKeys(run: StoredRun): readonly string[] {
  const { init, resumeFrom } = looseSpec(run);
  const name = init?.pretrainRef?.name ?? resumeFrom?.pretrainRef?.name;
  return typeof name === 'string' ? [`${run.metadata.namespace ?? ''}/${name}`] : [];
}

interface LooseSpec {
  readonly queue?: unknown;
  readonly model?: { readonly init?: { readonly uri?: unknown }; readonly tokenizer?: { readonly uri?: unknown } };
  readonly data?: { readonly uri?: unknown };
  readonly resumeFrom?: { readonly uri?: unknown; readonly pretrainRef?: { readonly name?: unknown } };
  readonly checkpoint?: { readonly store?: { readonly pvc?: unknown } };
  readonly init?: { readonly uri?: unknown; readonly pretrainRef?: { readonly name?: unknown } };
}

function looseSpec(run: StoredRun): LooseSpec {
  const spec: unknown = run.spec;
  return typeof spec === 'object' && spec !== null ? spec : {};
}
