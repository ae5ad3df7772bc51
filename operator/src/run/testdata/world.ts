// Tests only. A whole observed world from its short form on disk, and what happens to it when a plan is carried out.
import { parseSpec } from '../parseSpec.ts';
import type { Observed, Run, RunKind, RunMeta } from '../observed.ts';
import { planRun } from '../plan.ts';
import type { Plan } from '../plan.ts';
import { statusOf } from '../status.ts';
import type { OwnStatus } from '../ownFields.ts';
import type { Action } from '../../runtime/apply.ts';
import { deepFreeze } from '../../runtime/object.ts';
import type { KubeObject } from '../../runtime/object.ts';

export interface World extends Partial<Omit<Observed, 'run'>> {
  readonly run: { readonly kind: RunKind; readonly metadata: RunMeta; readonly spec: unknown; readonly status?: Run['status'] };
  /** Shows created objects in full in the golden plan. */
  readonly showObjects?: boolean;
}

export const SETTINGS = { trainerImage: 'trainer:test', telemetry: { address: 'polar-ingest.polar-system.svc:9443', ca: 'CA', intervalSeconds: 2 } };

export function observedFrom(world: World): Observed {
  const rest: Partial<World> = { ...world };
  delete (rest as { showObjects?: boolean }).showObjects;
  const { run } = world;
  return deepFreeze(structuredClone({
    now: '2026-01-01T00:10:00Z', jobs: [], configMaps: [], services: [], pods: [], claims: [], registryPods: [], dependents: [], podRefusals: [], settings: SETTINGS, ...rest,
    run: { kind: run.kind, metadata: run.metadata, status: run.status ?? {}, ...parseSpec(run.kind, run.spec) },
  }));
}

const LISTS = { Job: 'jobs', Service: 'services', ConfigMap: 'configMaps', Workload: 'workloads', PodGroup: 'podGroups' } as const;
type Lists = Record<(typeof LISTS)[keyof typeof LISTS], KubeObject[]>;

let uidsGiven = 0;

/** The world after all actions and the status write succeeded. A deleted Job's pods stay until somebody stops them. */
export function afterwards(seen: Observed, plan: Plan): Observed {
  const { queueing, podGroups } = seen;
  const lists: Lists = { jobs: [...seen.jobs], services: [...seen.services], configMaps: [...seen.configMaps], workloads: queueing?.workload === undefined ? [] : [queueing.workload], podGroups: [...(podGroups?.found ?? [])] };
  const isOfRun = (action: Action): boolean => action.do === 'apply' && action.uid === seen.run.metadata.uid;
  for (const action of plan.actions.filter((one) => !isOfRun(one))) perform(lists, action, `uid-${++uidsGiven}`);
  const metadata = { ...seen.run.metadata, ...plan.actions.filter(isOfRun).map((action) => (action.do === 'apply' ? { finalizers: action.object.metadata.finalizers ?? [] } : {})).at(-1) };
  const own: OwnStatus = statusOf(plan, undefined);
  const { workloads: [workload], podGroups: found, ...children } = lists;
  const gangs = { ...(queueing && { queueing: { ...queueing, workload } }), ...(podGroups && { podGroups: { ...podGroups, found } }) };
  return deepFreeze({ ...seen, ...(children as unknown as Pick<Observed, 'jobs' | 'services' | 'configMaps'>), ...gangs, run: { ...seen.run, metadata, status: { ...withoutOwn(seen.run.status), ...own } } });
}

/** Plans and performs until nothing changes; undefined when the run was deleted. Throws when it does not come to rest. */
export function settled(seen: Observed): Observed | undefined {
  let world = seen;
  for (let round = 0; round < 8; round++) {
    const plan = planRun(world);
    if (plan.actions.some((action) => action.do === 'delete' && action.uid === seen.run.metadata.uid)) return undefined;
    const next = afterwards(world, plan);
    if (plan.actions.length === 0 && JSON.stringify(next) === JSON.stringify(world)) return world;
    world = next;
  }
  throw new Error(`not at rest after eight rounds: ${planRun(world).because}`);
}

function perform(lists: Lists, action: Action, uid: string): void {
  const list = lists[LISTS[(action.do === 'delete' ? action.ref.kind : action.object.kind) as keyof typeof LISTS]];
  if (action.do === 'delete') {
    const at = list.findIndex((object) => object.metadata.uid === action.uid);
    if (at >= 0) list.splice(at, 1);
    return;
  }
  const { object } = action;
  const at = list.findIndex((one) => one.metadata.name === object.metadata.name);
  if (action.do === 'patch') {
    if (at >= 0) list[at] = mergePatched(list[at], object) as KubeObject;
  } else if (at >= 0) list[at] = { ...object, metadata: { ...object.metadata, uid: list[at]?.metadata.uid ?? uid } };
  else list.push({ ...object, metadata: { ...object.metadata, uid } });
}

/** RFC 7386. */
function mergePatched(target: unknown, change: unknown): unknown {
  if (typeof change !== 'object' || change === null || Array.isArray(change)) return change;
  const before = typeof target === 'object' && target !== null && !Array.isArray(target) ? (target as Record<string, unknown>) : {};
  const after: Record<string, unknown> = { ...before };
  for (const [key, value] of Object.entries(change)) {
    if (value === null) delete after[key];
    else after[key] = mergePatched(before[key], value);
  }
  return after;
}

function withoutOwn(status: Run['status']): Run['status'] {
  const { progress, validation, checkpoints, curve } = status;
  return { ...(progress && { progress }), ...(validation && { validation }), ...(checkpoints && { checkpoints }), ...(curve && { curve }) };
}
