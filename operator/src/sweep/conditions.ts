// The conditions of a sweep, one function each. Pure.
import { SWEEP_CONDITIONS } from '../api/reasons.ts';
import type { SweepConditionType, SweepReason } from '../api/reasons.ts';
import type { Condition } from '../api/status.ts';
import { conditionOf } from '../run/condition.ts';
import type { Claim } from '../run/condition.ts';
import { isTrue } from '../run/objects.ts';
import type { FitView } from './fitView.ts';
import type { Observed, SweepRun } from './observed.ts';
import type { Plan } from './plan.ts';

/** What of the plan could not be done. */
export interface Failed {
  readonly name: string;
  readonly message: string;
  /** HTTP status when the API server refused. */
  readonly status?: number | undefined;
  /** Name of the run that was refused. */
  readonly run?: string | undefined;
}

export interface Told {
  readonly seen: Observed;
  /** Undefined when the spec says something that cannot be. */
  readonly plan: Plan | undefined;
  readonly objection: string | undefined;
  readonly fit: FitView;
  readonly failed: Failed | undefined;
}

type Claimed = Claim & { readonly reason: SweepReason };

const DERIVE: Readonly<Record<SweepConditionType, (told: Told) => Claimed>> = { Accepted, Progressing, Stalled, Suspended, Fitted, Complete, Failed };

/** All conditions in their fixed order; lastTransitionTime moves only when status does. */
export function conditionsOf(told: Told): Condition[] {
  const { sweep, now } = told.seen;
  return SWEEP_CONDITIONS.map((type) => {
    const before = sweep.status.conditions?.find((condition) => condition.type === type);
    return conditionOf({ type, before, now, generation: sweep.metadata.generation }, DERIVE[type](told));
  });
}

function Accepted({ objection, failed }: Told): Claimed {
  if (objection !== undefined) return { status: 'False', reason: 'SpecInvalid', message: objection };
  if (failed?.name === 'ForeignObjectError') return { status: 'False', reason: 'NameTaken', message: failed.message };
  if (failed?.run !== undefined && isRefusal(failed)) return { status: 'False', reason: 'RunRefused', message: `run "${failed.run}": ${failed.message}` };
  return { status: 'True', reason: 'Valid', message: 'the sweep can be run' };
}

/** The API server will refuse the same request again until a person changes something; 404 and 409 are races. */
export function isRefusal({ status }: Pick<Failed, 'status'>): boolean {
  return status !== undefined && [400, 413, 422].includes(status);
}

function Progressing({ plan, failed }: Told): Claimed {
  if (plan === undefined) return { status: 'False', reason: 'NotStarted', message: 'the spec has to be mended first' };
  if (plan.ending !== undefined) return { status: 'False', reason: 'Finished', message: plan.ending.message };
  const { situation: s } = plan;
  const active = s.open.filter(({ state }) => state === 'Active');
  const stopping = active.filter(({ isAskedToStop }) => isAskedToStop);
  const waiting = s.points.filter(({ state }) => state === 'Waiting').length;
  if (failed !== undefined) return { status: 'False', reason: 'Waiting', message: `trying again: ${failed.message}` };
  if (stopping.length > 0) return { status: 'True', reason: 'Stopping', message: `${stopping.length} of ${active.length} runs save a checkpoint and stop: ${whyStopping(plan)}` };
  if (active.length > 0 || plan.starts.length > 0) return { status: 'True', reason: 'Running', message: `${waiting} points wait${waitsFor(plan)}` };
  return { status: 'False', reason: s.spec.suspend ? 'NotStarted' : 'Waiting', message: s.spec.suspend ? 'spec.suspend is true' : `${waiting} points wait${waitsFor(plan)}` };
}

function whyStopping({ situation: { spec, orphans, open }, limit }: Plan): string {
  if (spec.suspend) return 'spec.suspend is true';
  if (limit === 'budget.gpuHours') return 'budget.gpuHours is nearly spent';
  const early = open.filter(({ stopped }) => stopped !== undefined).length;
  return [...(orphans.length > 0 ? ['their points were taken off the axes'] : []), ...(early > 0 ? ['others do better'] : [])].join(', ') || 'they go on when they have saved';
}

function waitsFor({ limit }: Plan): string {
  if (limit === undefined) return '';
  const FOR = {
    parallelism: 'parallelism allows no further run', maxGpus: 'maxGpus allows no further run', 'budget.flops': 'the rest of budget.flops is set aside for runs that go on',
    'budget.gpuHours': 'the rest of budget.gpuHours is set aside for runs that go on', unmeasured: 'with budget.gpuHours the first run has to show how fast it is',
    fit: 'the next points follow from a fit of the ended ones, which is being computed',
  } as const;
  return `: ${FOR[limit]}`;
}

function Stalled({ plan, failed }: Told): Claimed {
  if (failed !== undefined && (isRefusal(failed) || failed.status === 403)) return { status: 'True', reason: 'WriteRefused', message: failed.message };
  const stuck = plan?.situation.open.flatMap((run) => { const why = whyStuck(run); return why === undefined ? [] : [`${run.name}: ${why}`]; }) ?? [];
  if (stuck.length > 0) return { status: 'True', reason: 'RunsStalled', message: `${stuck.length} of ${plan?.situation.open.length ?? 0} runs; ${stuck[0] ?? ''}` };
  return { status: 'False', reason: 'NotStalled', message: 'nothing blocks the sweep' };
}

function whyStuck({ state, status: { conditions } }: SweepRun): string | undefined {
  if (state !== 'Active') return undefined;
  const stalled = isTrue(conditions, 'Stalled');
  const refused = conditions?.find(({ type, status, reason }) => type === 'Accepted' && status === 'False' && reason !== 'WaitingForCheckpoint');
  const told = stalled ?? refused;
  return told === undefined ? undefined : `${told.reason ?? ''}: ${told.message ?? ''}`;
}

function Suspended({ plan }: Told): Claimed {
  if (plan?.situation.spec.suspend !== true) return { status: 'False', reason: 'NotSuspended', message: 'spec.suspend is false' };
  const active = plan.situation.open.filter(({ state }) => state === 'Active').length;
  if (active === 0) return { status: 'True', reason: 'SuspendRequested', message: 'no run is training' };
  return { status: 'False', reason: 'SuspendRequested', message: `${active} runs save a checkpoint and stop` };
}

function Fitted({ fit }: Told): Claimed {
  return { status: fit.state === 'Fitted' ? 'True' : 'False', reason: fit.state, message: fit.message };
}

function Complete({ plan }: Told): Claimed {
  if (plan?.ending?.type === 'Complete') return { status: 'True', reason: plan.ending.reason, message: plan.ending.message };
  return { status: 'False', reason: 'NotComplete', message: plan === undefined ? 'nothing has been started' : `${plan.situation.points.filter(({ state }) => isLeft(state)).length} of ${plan.situation.points.length} points are left` };
}

function isLeft(state: string): boolean {
  return state === 'Waiting' || state === 'Running' || state === 'Suspended';
}

function Failed({ plan }: Told): Claimed {
  if (plan?.ending?.type === 'Failed') return { status: 'True', reason: 'NoPointSucceeded', message: plan.ending.message };
  return { status: 'False', reason: 'NotFailed', message: 'the sweep has not failed' };
}
