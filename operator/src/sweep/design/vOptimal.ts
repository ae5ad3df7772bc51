// Which points of a planned sweep to run next: V-optimal design by the delta method. The law is linearised at its
// present estimates; the point comes first that cuts the variance of the prediction at the target most per FLOP^k.
import type { At, Fit } from '../fit/types.ts';
import type { Candidate, Law, Measured, Remaining } from './candidate.ts';

export interface Situation {
  /** Points that may be started, neither started nor ended. */
  readonly candidates: readonly Candidate[];
  readonly observed: readonly Measured[];
  /** Started, not ended; they count as if their loss were known to come. */
  readonly running: readonly Candidate[];
  readonly law: Law;
  /** fitLaw of `observed` in the form of `law`; absent when it threw, or points are too few. */
  readonly fit?: Fit;
  /** What is to be predicted, with the columns that the law needs; absent: the largest candidate. */
  readonly target?: At;
  /** Runs that may be started now. */
  readonly slots: number;
  readonly remaining?: Remaining;
  /** k; default 0.4. */
  readonly costExponent?: number;
  /** Share of a branch's budget that is its cooldown, in percent, where candidates have trunks; default 20. */
  readonly cooldownPercent?: number;
  /** Stop when the interval of the target is within +- so many percent of the loss; never by itself when absent. */
  readonly precisionPercent?: number;
}

export interface Choice {
  readonly candidate: Candidate;
  /** What starting it adds, its trunk's part included. */
  readonly flops: number;
}

export interface NextPoints {
  /** In the order to start: as many as there are slots unless candidates or budget run out, none when `isDone`. */
  readonly choices: readonly Choice[];
  /** The target is known well enough, or nothing is left that could be started. */
  readonly isDone: boolean;
  /** Why, for people. */
  readonly message: string;
  /** Half the width of the target's interval in percent of the loss; absent without a fit. */
  readonly halfWidthPercent?: number;
}

export function nextPoints(situation: Situation): NextPoints {
  return { choices: [], isDone: situation.candidates.length === 0, message: 'not planned yet' };
}
