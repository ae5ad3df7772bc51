// All reading: from a key to one deep-frozen value. Caches answer, except where a lagging cache could be mistaken for a fact.
import { FINALIZER, LABEL_RUN_UID } from '../api/labels.ts';
import type { KubeClient } from '../runtime/client.ts';
import { controllerOf, deepFreeze, splitKey } from '../runtime/object.ts';
import type { KubeObject } from '../runtime/object.ts';
import { get, list } from '../runtime/verbs.ts';
import { BY_RUN, BY_SOURCE, RUN_RESOURCES } from './caches.ts';
import type { Caches, StoredRun } from './caches.ts';
import { podGroupsOf, queueingOf } from './kueueReads.ts';
import { claimsOf, initOf, mountsOf } from './mounts.ts';
import { isWaiting } from './dependents.ts';
import { attemptOf, childName, isRegistryName } from './naming.ts';
import { parseSpec } from './parseSpec.ts';
import { JOBS, PODS, isTrue } from './objects.ts';
import type { Job, Pod } from './objects.ts';
import type { Dependent, Observed, Run, RunKind, Settings, Source } from './observed.ts';
import { readableStatus } from './readStatus.ts';
import { askedOf, sourceFrom } from './source.ts';
import { hasEnded, lastCheckpointSaid } from './workers.ts';

export interface ObserveDeps {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly kind: RunKind;
  readonly settings: () => Settings;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

// A Job controller has made its pods long before; if not, it was refused.
const REFUSAL_AFTER_MS = 3000;

/** Undefined when the run is gone, is being deleted and needs nothing any more, or has never been. */
export async function observe(deps: ObserveDeps, key: string): Promise<Observed | undefined> {
  const { namespace, name } = splitKey(key);
  const stored = deps.caches.runs[deps.kind].store.get(namespace, name);
  if (stored === undefined || isLeaving(stored)) return undefined;
  const run = runOf(deps.kind, stored);
  const { jobs, pods } = await jobsAndPods(deps, run);
  const source = await sourceOf(deps, run);
  return deepFreeze({
    now: new Date(deps.now()).toISOString(), run, jobs, pods, source, registryPods: registryPodsOf(run, deps.caches.pods.store.byIndex(BY_RUN, run.metadata.uid)),
    services: owned(run, deps.caches.services.store.byIndex(BY_RUN, run.metadata.uid)),
    configMaps: owned(run, deps.caches.configMaps.store.byIndex(BY_RUN, run.metadata.uid)),
    claims: namedClaims(run, source).flatMap((claim) => deps.caches.claims.store.get(namespace, claim) ?? []),
    dependents: dependentsOf(deps, run),
    podRefusals: await refusals(deps, run, jobs, pods),
    queueing: await queueingOf(deps, run), podGroups: podGroupsOf(deps, run),
    settings: deps.settings(),
  });
}

function isLeaving({ metadata: { deletionTimestamp, finalizers = [] } }: StoredRun): boolean {
  return deletionTimestamp !== undefined && !finalizers.includes(FINALIZER);
}

/** A run as it is stored, with its spec parsed. */
export function runOf(kind: RunKind, stored: StoredRun): Run {
  const { namespace = '', uid = '' } = stored.metadata;
  return { kind, metadata: { ...stored.metadata, namespace, uid }, status: readableStatus(stored.status), ...parsedOf(kind, stored.spec) };
}

type Parsed = ReturnType<typeof parseSpec>;

const PARSED_AT_MOST = 1024;
const parsed: Record<RunKind, Map<object, Parsed>> = { PolarPretrain: new Map(), PolarFinetune: new Map() };

/** Parsing takes most of a look at a run at rest, and caches hold equal specs once. What is frozen stays as it was parsed. */
function parsedOf(kind: RunKind, spec: StoredRun['spec']): Parsed {
  if (spec === undefined || !Object.isFrozen(spec)) return parseSpec(kind, spec);
  const known = parsed[kind].get(spec);
  if (known !== undefined) return known;
  if (parsed[kind].size >= PARSED_AT_MOST) parsed[kind].clear();
  const made = deepFreeze(parseSpec(kind, spec));
  parsed[kind].set(spec, made);
  return made;
}

function owned<T extends KubeObject>(run: Run, objects: readonly T[]): readonly T[] {
  return objects.filter((object) => controllerOf(object)?.uid === run.metadata.uid);
}

/** A Job that status names and the cache lacks is looked up: its absence is about to be taken for its deletion, and its pods for gone. */
async function jobsAndPods(deps: ObserveDeps, run: Run): Promise<{ jobs: readonly Job[]; pods: readonly Pod[] }> {
  const { uid, namespace } = run.metadata;
  const jobs = owned(run, deps.caches.jobs.store.byIndex(BY_RUN, uid));
  const pods = deps.caches.pods.store.byIndex(BY_RUN, uid);
  const { job: recorded, attempt = 0 } = run.status;
  const name = recorded ?? childName(run, attempt);
  const known = jobs.find((job) => job.metadata.name === name);
  if (known === undefined ? recorded === undefined : !isAhead(run, known, pods)) return { jobs, pods: workersOf(run, pods) };
  const found = known ?? (await get<Job>(deps.client, JOBS, { namespace, name }));
  const live = await list<Pod>(deps.client, PODS, { namespace, labelSelector: `${LABEL_RUN_UID}=${uid}` });
  return { jobs: found === undefined || known !== undefined ? jobs : [...jobs, ...owned(run, [found])], pods: workersOf(run, live.items) };
}

/** The Job has ended and the cache does not show that of its pods: a Job ends after its pods, so news of them are late, and what they said last would be missed for good. */
function isAhead({ status }: Run, job: Job, pods: readonly Pod[]): boolean {
  const has = (conditions: Parameters<typeof isTrue>[0], type: string): boolean => isTrue(conditions, type) !== undefined;
  if (has(status.conditions, 'Complete') || has(status.conditions, 'Failed')) return false;
  const own = pods.filter((pod) => attemptOf(pod) === attemptOf(job));
  if (has(job.status?.conditions, 'Complete')) return own.filter(hasEnded).length < (job.spec.parallelism ?? 0);
  return has(job.status?.conditions, 'Failed') && !own.every(hasEnded);
}

/** Pods with the run's labels and a worker's name. Owner references are not asked for: deleting a Job with orphaning drops them, and the pods run on. */
function workersOf(run: Run, pods: readonly Pod[]): readonly Pod[] {
  return pods.filter((pod) => attemptOf(pod) > 0 && pod.metadata.name.startsWith(`${childName(run, attemptOf(pod))}-`));
}

function registryPodsOf(run: Run, pods: readonly Pod[]): readonly Pod[] {
  return pods.filter((pod) => isRegistryName(run, pod.metadata.name));
}

async function sourceOf(deps: ObserveDeps, run: Run): Promise<Source | undefined> {
  const asked = run.spec === undefined ? undefined : askedOf(run.spec);
  if (asked === undefined) return undefined;
  const key = { namespace: run.metadata.namespace, name: asked.name };
  const cached = deps.caches.runs.PolarPretrain.store.get(key.namespace, key.name);
  const isLight = run.status.startedFrom === undefined && isByStep(asked.which, cached);
  const stored = isLight ? await get<StoredRun>(deps.client, RUN_RESOURCES.PolarPretrain, key) : cached;
  const said = lastCheckpointSaid(deps.caches.pods.store.byIndex(BY_RUN, stored?.metadata.uid ?? ''));
  return sourceFrom(asked, run.status.startedFrom, stored && { status: readableStatus(stored.status), saidStep: said });
}

/** The cache has the newest and the best checkpoint in full, of those that are asked for by their step that they exist. */
function isByStep(which: Source['which'], cached: StoredRun | undefined): boolean {
  return typeof which === 'number' && readableStatus(cached?.status).checkpoints?.history?.some(({ step }) => step === which) === true;
}

function dependentsOf({ caches, kind }: ObserveDeps, { metadata: { namespace, name } }: Run): readonly Dependent[] {
  if (kind !== 'PolarPretrain') return [];
  return (['PolarPretrain', 'PolarFinetune'] as const).flatMap((other) => caches.runs[other].store.byIndex(BY_SOURCE, `${namespace}/${name}`).flatMap((stored) => {
    const { spec, status, metadata } = runOf(other, stored);
    const asked = spec === undefined ? undefined : askedOf(spec);
    return asked === undefined ? [] : [{ kind: other, name: metadata.name, waits: metadata.deletionTimestamp === undefined && isWaiting(status), which: asked.which, startedFrom: status.startedFrom }];
  }));
}

function namedClaims(run: Run, source: Source | undefined): readonly string[] {
  return run.spec === undefined ? [] : claimsOf(mountsOf(run.spec, initOf(run.spec, source)));
}

async function refusals(deps: ObserveDeps, run: Run, jobs: readonly Job[], pods: readonly Pod[]): Promise<readonly string[]> {
  const job = jobs.find((one) => attemptOf(one) === run.status.attempt);
  const own = pods.filter((pod) => attemptOf(pod) === run.status.attempt);
  return job !== undefined && lacksPods(job, own.length, deps.now()) ? failedCreateNotes(deps.client, job) : [];
}

/** The Job controller has tried to make the pods, and long ago: listing events is slow in a namespace with many. */
function lacksPods({ metadata, spec, status = {} }: Job, pods: number, now: number): boolean {
  if (status.startTime === undefined || pods >= (spec.parallelism ?? 0)) return false;
  const hasEnded = isTrue(status.conditions, 'Failed') !== undefined || isTrue(status.conditions, 'Complete') !== undefined;
  return !hasEnded && now - Date.parse(metadata.creationTimestamp ?? '') >= REFUSAL_AFTER_MS;
}

/** Messages of the Job controller's FailedCreate events, newest first; empty when events cannot be read. */
async function failedCreateNotes(client: KubeClient, job: Job): Promise<readonly string[]> {
  const { namespace = '', uid = '' } = job.metadata;
  const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
  try {
    const { items } = await client.request<{ items: (KubeObject & { note?: string })[] | null }>('GET', path, { query: { fieldSelector: `regarding.uid=${uid},reason=FailedCreate`, limit: 20 } });
    const newestFirst = [...(items ?? [])].sort((a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''));
    return newestFirst.flatMap(({ note }) => (note === undefined ? [] : [note]));
  } catch {
    return [];
  }
}
