// From what was observed to what is to be done. Pure: no IO, no clock, no randomness; the same input gives the same plan.
import type { Action } from '../runtime/apply.ts';
import { CHECKS } from './checks.ts';
import { holdForDeletion } from './deletion.ts';
import type { Observed } from './observed.ts';
import { situationOf } from './situation.ts';
import type { Situation } from './situation.ts';
import type { Verdict } from './verdict.ts';

export interface Plan {
  /** Name of the check that decided. */
  readonly because: string;
  readonly actions: readonly Action[];
  readonly requeueAfterMs: number | undefined;
  readonly situation: Situation;
  readonly verdict: Verdict;
}

/** The plan for a run that is not being deleted. */
export function planRun(seen: Observed): Plan {
  const situation = situationOf(seen);
  for (const [because, check] of CHECKS) {
    const verdict = check(situation);
    if (verdict !== undefined) return { because, actions: [...(because === 'isElsewhere' ? [] : holdForDeletion(situation)), ...(verdict.actions ?? [])], requeueAfterMs: verdict.requeueAfterMs, situation, verdict };
  }
  throw new Error('no check decided: the last one always does');
}
