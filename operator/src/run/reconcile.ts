// One pass over one run: observe, plan, apply, tell, note. Keeps nothing between calls; may be killed at any line.
import { API_VERSION, MANAGER_OPERATOR } from '../api/labels.ts';
import { ApiError, isNotFound } from '../runtime/apiError.ts';
import { performAll } from '../runtime/apply.ts';
import type { Action } from '../runtime/apply.ts';
import type { Reconcile } from '../runtime/controller.ts';
import type { EventRecorder } from '../runtime/events.ts';
import type { KubeObject } from '../runtime/object.ts';
import { applyStatus, get } from '../runtime/verbs.ts';
import { RUN_RESOURCES } from './caches.ts';
import type { StoredRun } from './caches.ts';
import type { Failed } from './conditions.ts';
import { WORKLOADS } from './kueue.ts';
import { isStillAdmitted } from './kueueReads.ts';
import { notesOf } from './notes.ts';
import { CONFIG_MAPS, JOBS, SERVICES } from './objects.ts';
import { observe } from './observe.ts';
import { POD_GROUPS } from './podGroup.ts';
import type { ObserveDeps } from './observe.ts';
import type { Run } from './observed.ts';
import { planRun } from './plan.ts';
import type { Plan } from './plan.ts';
import { addsUp, differs, statusOf } from './status.ts';
import type { OwnStatus } from './ownFields.ts';

export interface RunDeps extends ObserveDeps {
  readonly events: EventRecorder;
  /** Called after each write that succeeded; tests stop the operator here. */
  readonly onWrite?: (write: Action | { readonly do: 'status' }) => void;
}

const STALE_LOOK_MS = 1000;

/** The reconciler of one kind of run. */
export const reconcileRun = (deps: RunDeps): Reconcile => async (key, { log }) => {
  const seen = await observe(deps, key);
  if (seen === undefined) return {};
  const plan = planRun(seen);
  if (plan.actions.length > 0) log.info({ attempt: plan.situation.attempt, because: plan.because, actions: plan.actions.map(brief) }, 'acting');
  if (createsJob(plan) && !(await isCurrent(deps, seen.run, plan))) return { requeueAfterMs: STALE_LOOK_MS };
  const failure = await performAll(applierOf(deps), plan.actions);
  const next = statusOf(plan, failedOf(failure));
  const written = await writeStatus(deps, seen.run, next);
  if (written) await deps.events.record(aboutOf(seen.run), notesOf(plan, next));
  if (failure !== undefined) throw failure;
  return { requeueAfterMs: plan.requeueAfterMs };
};

function createsJob(plan: Plan): boolean {
  return plan.actions.some((action) => action.do === 'create' && action.object.kind === 'Job');
}

/** Asks the API server, since a cache that lags far behind (an operator that was cut off) would bring an old attempt back to life. */
async function isCurrent(deps: RunDeps, run: Run, { situation: { attempt }, because }: Plan): Promise<boolean> {
  const live = await get<StoredRun>(deps.client, RUN_RESOURCES[run.kind], run.metadata);
  const isSame = live?.metadata.uid === run.metadata.uid && live.metadata.deletionTimestamp === run.metadata.deletionTimestamp && live.status?.attempt === attempt;
  return isSame && (because !== 'isUncreated' || (await isStillAdmitted(deps.client, run)));
}

function applierOf(deps: RunDeps): Parameters<typeof performAll>[0] {
  return { client: deps.client, resources: [JOBS, SERVICES, CONFIG_MAPS, WORKLOADS, ...Object.values(POD_GROUPS), ...Object.values(RUN_RESOURCES)], fieldManager: MANAGER_OPERATOR, ...(deps.onWrite === undefined ? {} : { onAction: deps.onWrite }) };
}

/** Writes the operator's fields when they differ. A new attempt number carries the version it was derived from, so that it is counted once. */
async function writeStatus(deps: RunDeps, run: Run, next: OwnStatus): Promise<boolean> {
  if (!differs(run, next)) return false;
  const { namespace, name, uid, resourceVersion } = run.metadata;
  const version = addsUp(run, next) && resourceVersion !== undefined ? { resourceVersion } : {};
  const object = { apiVersion: API_VERSION, kind: run.kind, metadata: { namespace, name, uid, ...version }, status: next };
  try {
    await applyStatus(deps.client, RUN_RESOURCES[run.kind], object, { fieldManager: MANAGER_OPERATOR });
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
  deps.onWrite?.({ do: 'status' });
  return true;
}

function aboutOf(run: Run): KubeObject {
  return { apiVersion: API_VERSION, kind: run.kind, metadata: run.metadata };
}

function failedOf(failure: Error | undefined): Failed | undefined {
  if (failure === undefined) return undefined;
  return { name: failure.name, message: failure.message, ...(failure instanceof ApiError ? { status: failure.status } : {}) };
}

function brief(action: Action): string {
  return action.do === 'delete' ? `delete ${action.ref.kind} ${action.ref.name}` : `${action.do} ${action.object.kind ?? ''} ${action.object.metadata.name}`;
}
