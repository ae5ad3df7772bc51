// One pass over one sweep: observe, plan, perform, fit, tell, note. Keeps nothing between calls but what shortens the way; may be killed at any line.
import { API_VERSION, MANAGER_OPERATOR } from '../api/labels.ts';
import type { SweepStatus } from '../api/sweepStatus.ts';
import { isNotFound } from '../runtime/apiError.ts';
import type { Reconcile, Result } from '../runtime/controller.ts';
import type { EventRecorder } from '../runtime/events.ts';
import type { Log } from '../runtime/log.ts';
import { applyStatus } from '../runtime/verbs.ts';
import { SWEEPS } from './caches.ts';
import { objectionTo } from './checks.ts';
import type { FitView } from './fitView.ts';
import { conditionNotes, pointNotes } from './notes.ts';
import { listRuns, observe } from './observe.ts';
import type { ObserveDeps, Seen } from './observe.ts';
import type { Observed } from './observed.ts';
import { perform } from './perform.ts';
import type { Performed } from './perform.ts';
import { planSweep } from './plan.ts';
import type { Plan } from './plan.ts';
import { differs, statusOf } from './status.ts';

export interface SweepDeps extends ObserveDeps {
  readonly events: EventRecorder;
  /** What is known of the laws now; when a fit is under way, `key` is looked at again once it is done. */
  readonly fitOf: (key: string, seen: Observed, plan: Plan | undefined) => FitView;
}

const MORE_MS = 1;

/** The reconciler of sweeps. */
export const reconcileSweep = (deps: SweepDeps): Reconcile => async (key, { log }) => {
  const first = await observe(deps, key);
  if (first === undefined) return {};
  const { looked, plan, objection } = await planned(deps, key, first);
  const { seen } = looked;
  const performed = plan === undefined ? NOTHING : await carryOut(deps, seen, plan, log);
  const next = statusOf({ seen, plan, objection, fit: deps.fitOf(key, seen, plan), failed: performed.failed });
  const isWritten = await writeStatus(deps, seen, next);
  const about = { apiVersion: API_VERSION, kind: SWEEPS.kind, metadata: seen.sweep.metadata };
  await deps.events.record(about, [...(plan === undefined || performed.error !== undefined ? [] : pointNotes(plan)), ...(isWritten ? conditionNotes(seen, next) : [])]);
  if (performed.error !== undefined) throw performed.error;
  return resultOf(looked, plan);
};

const NOTHING: Performed = { error: undefined, failed: undefined };

interface Planned {
  readonly looked: Seen;
  readonly plan: Plan | undefined;
  readonly objection: string | undefined;
}

/** Before this process starts the first run of a sweep it asks for all there are: those of the leader before may not be in the cache yet. */
async function planned(deps: SweepDeps, key: string, looked: Seen): Promise<Planned> {
  const { sweep } = looked.seen;
  const objection = objectionTo(sweep);
  if (objection !== undefined || sweep.spec === undefined) return { looked, plan: undefined, objection };
  const plan = planSweep(looked.seen, sweep.spec);
  if (plan.starts.length === 0 || deps.recent.isSeeded(sweep.metadata.uid)) return { looked, plan, objection };
  deps.recent.seed(sweep.metadata.uid, await listRuns(deps, sweep));
  const again = await observe(deps, key);
  return again === undefined ? { looked, plan: undefined, objection } : planned(deps, key, again);
}

async function carryOut(deps: SweepDeps, seen: Observed, plan: Plan, log: Log): Promise<Performed> {
  const { newRecords } = plan.situation;
  if (newRecords.length + plan.actions.length + plan.starts.length > 0) {
    log.info({ ended: newRecords.map(({ run, outcome }) => `${run.name} ${outcome}`), actions: plan.actions.length, starts: plan.starts.map(({ object }) => object.metadata.name) }, 'acting');
  }
  return perform({ client: deps.client, onStart: (run) => deps.recent.add(seen.sweep.metadata.uid, run) }, seen, plan);
}

function resultOf({ hasMore }: Seen, plan: Plan | undefined): Result {
  const requeueAfterMs = hasMore ? MORE_MS : plan?.requeueAfterMs;
  return requeueAfterMs === undefined ? {} : { requeueAfterMs };
}

/** Writes the status when it differs, onto the version it was derived from. */
async function writeStatus(deps: SweepDeps, { sweep }: Observed, next: SweepStatus): Promise<boolean> {
  if (!differs(sweep, next)) return false;
  const { namespace, name, uid, resourceVersion } = sweep.metadata;
  const metadata = { namespace, name, uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
  try {
    await applyStatus(deps.client, SWEEPS, { apiVersion: API_VERSION, kind: SWEEPS.kind, metadata, status: next } as never, { fieldManager: MANAGER_OPERATOR });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
