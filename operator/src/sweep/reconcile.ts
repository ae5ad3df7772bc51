// One pass over one sweep: observe, plan, perform, fit, tell, note. Keeps nothing between calls but what shortens the way; may be killed at any line.
import { API_VERSION, MANAGER_OPERATOR } from '../api/labels.ts';
import type { SweepStatus } from '../api/sweepStatus.ts';
import type { Reconcile, Result } from '../runtime/controller.ts';
import type { EventRecorder } from '../runtime/events.ts';
import type { Log } from '../runtime/log.ts';
import { applyStatusOnto } from '../runtime/verbs.ts';
import { SWEEPS } from './caches.ts';
import { objectionTo } from './checks.ts';
import { storedFields } from './fits.ts';
import type { FitOf } from './fits.ts';
import { NO_FIT } from './fitView.ts';
import type { FitView } from './fitView.ts';
import { conditionNotes, pointNotes } from './notes.ts';
import { listRuns, observe } from './observe.ts';
import type { ObserveDeps, Seen } from './observe.ts';
import type { Observed, Sweep } from './observed.ts';
import { perform } from './perform.ts';
import type { Performed } from './perform.ts';
import { planSweep } from './plan.ts';
import type { Plan } from './plan.ts';
import { situationOf } from './situation.ts';
import { differs, statusOf } from './status.ts';

export interface SweepDeps extends ObserveDeps {
  readonly events: EventRecorder;
  readonly fitOf: FitOf;
}

const MORE_MS = 1;

/** The reconciler of sweeps. */
export const reconcileSweep = (deps: SweepDeps): Reconcile => async (key, { log }) => {
  const first = await observe(deps, key);
  if (first === undefined) return {};
  const { looked, plan, objection, fit } = await planned(deps, key, first);
  const { seen } = looked;
  const performed = plan === undefined ? NOTHING : await carryOut(deps, seen, plan, log);
  const next = statusOf({ seen, plan, objection, fit, failed: performed.failed });
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
  readonly fit: FitView;
}

/** Before this process starts the first run of a sweep it asks for all there are: those of the leader before may not be in the cache yet. */
async function planned(deps: SweepDeps, key: string, looked: Seen): Promise<Planned> {
  const { sweep } = looked.seen;
  const objection = objectionTo(sweep);
  if (objection !== undefined || sweep.spec === undefined) return { looked, plan: undefined, objection, fit: keptFit(sweep) };
  const situation = situationOf(looked.seen, sweep.spec);
  const fit = deps.fitOf(key, situation);
  const plan = planSweep(situation, fit.design);
  if (plan.starts.length === 0 || deps.recent.isSeeded(sweep.metadata.uid)) return { looked, plan, objection, fit };
  deps.recent.seed(sweep.metadata.uid, await listRuns(deps, sweep));
  const again = await observe(deps, key);
  return again === undefined ? { looked, plan: undefined, objection, fit } : planned(deps, key, again);
}

/** A spec that cannot be run says nothing about the laws that were found. */
function keptFit({ status }: Sweep): FitView {
  const before = status.conditions?.find(({ type }) => type === 'Fitted');
  return { ...NO_FIT, ...(before?.status === 'True' ? { state: 'Fitted', message: before.message } : {}), fields: storedFields(status) };
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
  return differs(sweep, next) && (await applyStatusOnto(deps.client, SWEEPS, { metadata: sweep.metadata, status: next }, MANAGER_OPERATOR)) !== undefined;
}
