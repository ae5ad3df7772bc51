// The conditions of a run, one function each.
import { CONDITIONS } from '../api/reasons.ts';
import type { ConditionType, Reason } from '../api/reasons.ts';
import type { Condition } from '../api/status.ts';
import { conditionOf } from './condition.ts';
import type { Claim } from './condition.ts';
import { admittedCondition } from './queueCondition.ts';
import type { Situation } from './situation.ts';
import { heldUp, refused } from './starting.ts';
import type { Verdict } from './verdict.ts';
import { neglectOf } from './watching.ts';

export interface Failed {
  readonly name: string;
  readonly message: string;
  /** HTTP status when the API server refused. */
  readonly status?: number;
}

/** What a condition is derived from: where the run stands, what was decided, and what of it could not be done. */
export interface Told {
  readonly s: Situation;
  readonly verdict: Verdict;
  readonly failed: Failed | undefined;
}

type Claimed = Claim & { readonly reason: Reason };

/** Conditions that are derived also when the run is over; the others are then its record. */
const LIVE = new Set<ConditionType>(['PodsReady', 'Stalled']);

const DERIVE: Readonly<Record<ConditionType, (told: Told) => Claimed>> = { Accepted, Admitted, PodsReady, Progressing, Stalled, Suspended, Complete, Failed };

/** All conditions in their fixed order; lastTransitionTime moves only when status does. */
export function conditionsOf(told: Told): Condition[] {
  const { run, now } = told.s.seen;
  return CONDITIONS.map((type) => {
    const before = run.status.conditions?.find((condition) => condition.type === type);
    const claimed = told.s.isOver && before !== undefined && !LIVE.has(type) ? before : DERIVE[type](told);
    return conditionOf({ type, before, now, generation: run.metadata.generation }, claimed);
  });
}

function Accepted({ s, failed }: Told): Claimed {
  if (failed?.name === 'ForeignObjectError') return { status: 'False', reason: 'NameConflict', message: failed.message };
  const isStarted = s.jobState === 'active' || s.jobState === 'ending' || s.jobState === 'done';
  if (s.objection !== undefined && !isStarted) return { status: 'False', ...s.objection };
  const extrapolated = s.laws?.extrapolated ?? '';
  if (extrapolated === '') return { status: 'True', reason: 'Valid', message: 'the run can be started' };
  return { status: 'True', reason: 'LawExtrapolated', message: `the run can be started; optimizer auto goes beyond what the paper's laws were fitted on: ${extrapolated}` };
}

function Admitted({ s }: Told): Claimed {
  return admittedCondition(s);
}

function PodsReady({ s }: Told): Claimed {
  const { readyPods, donePods, replicas, pods, jobState } = s;
  if (jobState === 'done' || jobState === 'failed' || (s.isOver && pods.length > 0)) return { status: 'False', reason: 'PodsFinished', message: `the workers of attempt ${s.attempt} have ended` };
  if (pods.length === 0) return { status: 'False', reason: 'NoPods', message: 'no worker exists' };
  if (readyPods >= replicas) return { status: 'True', reason: 'AllPodsReady', message: `${readyPods} of ${replicas} workers are running` };
  if (donePods > 0 && readyPods + donePods >= replicas) return { status: 'False', reason: 'PodsFinished', message: `${donePods} of ${replicas} workers have finished` };
  return { status: 'False', reason: 'PodsPending', message: `${readyPods} of ${replicas} workers are running` };
}

function Progressing({ verdict, failed }: Told): Claimed {
  if (failed === undefined) return verdict.progressing;
  return { status: 'False', reason: verdict.progressing.reason, message: `trying again: ${failed.message}` };
}

function Stalled({ s, failed }: Told): Claimed {
  if (isRefusal(failed)) return { status: 'True', reason: 'PodCreationRefused', message: refused(s, failed.message) };
  if (s.obstacle !== undefined) return { status: 'True', reason: s.obstacle.reason, message: heldUp(s, s.obstacle.message) };
  const neglect = neglectOf(s);
  if (neglect !== undefined) return { status: 'True', ...neglect };
  return { status: 'False', reason: 'NotStalled', message: 'nothing blocks the run' };
}

/** The API server will refuse the same request again until a person changes something; 404 and 409 are races. */
function isRefusal(failed: Failed | undefined): failed is Failed {
  return failed?.status !== undefined && [400, 403, 413, 422].includes(failed.status);
}

function Suspended({ s }: Told): Claimed {
  if (s.seen.run.spec?.spec.suspend !== true) return { status: 'False', reason: 'NotSuspended', message: 'spec.suspend is false' };
  if (s.livePods.length === 0 && s.jobState !== 'active') return { status: 'True', reason: 'SuspendRequested', message: 'no worker runs' };
  return { status: 'False', reason: 'SuspendRequested', message: `${s.livePods.length} of ${s.replicas} workers save a checkpoint and stop` };
}

function Complete({ s, verdict }: Told): Claimed {
  if (verdict.ends?.type === 'Complete') return { status: 'True', reason: verdict.ends.reason, message: verdict.ends.message };
  const before = s.seen.run.status.conditions?.find(({ type }) => type === 'Complete');
  const wasComplete = before?.status === 'True' || before?.reason === 'BudgetRaised' || (s.jobState === 'done' && s.isBudgetRaised);
  if (wasComplete) return { status: 'False', reason: 'BudgetRaised', message: 'spec.budget was raised after the last step of the one before: the run goes on' };
  return { status: 'False', reason: 'NotComplete', message: 'the last step has not been reached' };
}

function Failed({ verdict }: Told): Claimed {
  if (verdict.ends?.type === 'Failed') return { status: 'True', reason: verdict.ends.reason, message: verdict.ends.message };
  return { status: 'False', reason: 'NotFailed', message: 'the run has not failed' };
}
