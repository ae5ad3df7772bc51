// One pass over one run: observe, plan, apply, tell, note; a second one when it has begun an attempt. Keeps nothing between calls; may be killed at any line.
import { API_VERSION, MANAGER_OPERATOR } from '../api/labels.ts';
import { ApiError } from '../runtime/apiError.ts';
import { performAll } from '../runtime/apply.ts';
import type { Action } from '../runtime/apply.ts';
import type { Reconcile } from '../runtime/controller.ts';
import type { EventRecorder } from '../runtime/events.ts';
import type { Log } from '../runtime/log.ts';
import type { KubeObject } from '../runtime/object.ts';
import { applyStatusOnto, get } from '../runtime/verbs.ts';
import { RUN_RESOURCES } from './caches.ts';
import type { StoredRun } from './caches.ts';
import type { Failed } from './conditions.ts';
import { WORKLOADS } from './kueue.ts';
import { isStillAdmitted } from './kueueReads.ts';
import { creationNotes, notesOf } from './notes.ts';
import { CONFIG_MAPS, JOBS, SERVICES } from './objects.ts';
import type { Job } from './objects.ts';
import { observe, runOf } from './observe.ts';
import { POD_GROUPS } from './podGroup.ts';
import type { ObserveDeps } from './observe.ts';
import type { Observed, Run } from './observed.ts';
import { planRun } from './plan.ts';
import type { Plan } from './plan.ts';
import { differs, statusOf } from './status.ts';
import type { OwnStatus } from './ownFields.ts';

export interface RunDeps extends ObserveDeps {
  readonly events: EventRecorder;
  /** Called after each write that succeeded; tests stop the operator here. */
  readonly onWrite?: (write: Action | { readonly do: 'status' }) => void;
}

const STALE_LOOK_MS = 1000;

interface Passed {
  readonly requeueAfterMs?: number | undefined;
  /** The run as the API server answered to the number of a new attempt. */
  readonly begun?: Run | undefined;
}

/** The reconciler of one kind of run. */
export const reconcileRun = (deps: RunDeps): Reconcile => async (key, { log }) => {
  const seen = await observe(deps, key);
  if (seen === undefined) return {};
  const { begun, requeueAfterMs } = await pass(deps, seen, log);
  // That answer is newer than any cache: the attempt's objects follow at once.
  return begun === undefined ? { requeueAfterMs } : pass(deps, { ...seen, run: begun }, log, true);
};

async function pass(deps: RunDeps, seen: Observed, log: Log, isFresh = false): Promise<Passed> {
  const plan = planRun(seen);
  if (plan.actions.length > 0) log.info({ attempt: plan.situation.attempt, because: plan.because, actions: plan.actions.map(brief) }, 'acting');
  if (createsJob(plan) && !(await mayCreate(deps, seen.run, plan, isFresh))) return { requeueAfterMs: STALE_LOOK_MS };
  const stored: KubeObject[] = [];
  const failure = await performAll(applierOf(deps, stored), plan.actions);
  const after = failure === undefined ? planAfter(plan, stored) : plan;
  const next = statusOf(after, failedOf(failure));
  const written = await writeStatus(deps, seen.run, next);
  await deps.events.record(aboutOf(seen.run), [...creationNotes(plan, stored), ...(written === undefined ? [] : notesOf(after, next))]);
  if (failure !== undefined) throw failure;
  return { requeueAfterMs: after.requeueAfterMs, ...(plan.verdict.begins === undefined || written === undefined ? {} : { begun: runOf(deps.kind, written) }) };
}

/** Once the attempt's Job is created, its status says what it would say when news of the Job arrives: usually nothing new. */
function planAfter(plan: Plan, stored: readonly KubeObject[]): Plan {
  const job = stored.find((object): object is Job => object.kind === 'Job');
  if (plan.because !== 'isUncreated' || job === undefined) return plan;
  const { seen } = plan.situation;
  const after = planRun({ ...seen, jobs: [...seen.jobs, job] });
  return after.because === 'isRunning' ? after : plan;
}

function createsJob(plan: Plan): boolean {
  return plan.actions.some((action) => action.do === 'create' && action.object.kind === 'Job');
}

/** Asks the API server, since a cache that lags far behind (an operator that was cut off) would bring an old attempt back to life. */
async function mayCreate(deps: RunDeps, run: Run, { situation: { attempt }, because }: Plan, isFresh: boolean): Promise<boolean> {
  const live = isFresh ? run : await get<StoredRun>(deps.client, RUN_RESOURCES[run.kind], run.metadata);
  const isSame = live?.metadata.uid === run.metadata.uid && live.metadata.deletionTimestamp === run.metadata.deletionTimestamp && live.status?.attempt === attempt && live.status?.job === run.status.job;
  return isSame && (because !== 'isUncreated' || (await isStillAdmitted(deps.client, run)));
}

const CHILDREN = [JOBS, SERVICES, CONFIG_MAPS, WORKLOADS, ...Object.values(POD_GROUPS), ...Object.values(RUN_RESOURCES)];

function applierOf({ client, onWrite }: RunDeps, stored: KubeObject[]): Parameters<typeof performAll>[0] {
  const onAction = (action: Action, object: KubeObject | undefined): void => {
    if (object !== undefined) stored.push(object);
    onWrite?.(action);
  };
  return { client, resources: CHILDREN, fieldManager: MANAGER_OPERATOR, onAction };
}

/** Writes the operator's fields when they differ, onto the version they were derived from: a replica whose watch hung must not take back what another wrote. */
async function writeStatus(deps: RunDeps, run: Run, next: OwnStatus): Promise<StoredRun | undefined> {
  if (!differs(run, next)) return undefined;
  const written = await applyStatusOnto<StoredRun>(deps.client, RUN_RESOURCES[run.kind], { metadata: run.metadata, status: next }, MANAGER_OPERATOR);
  if (written !== undefined) deps.onWrite?.({ do: 'status' });
  return written;
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
