// The laws of a sweep, computed when the set of finished points or what is asked of them changes.
import type { Log } from '../runtime/log.ts';
import { NO_FIT } from './fitView.ts';
import type { FitView } from './fitView.ts';
import type { Observed } from './observed.ts';
import type { Plan } from './plan.ts';

export interface FitterOptions {
  readonly log: Log;
  /** Called with the key of a sweep whose laws have been computed. */
  readonly onDone: (key: string) => void;
  readonly signal: AbortSignal;
}

export function fitter({ log }: FitterOptions): (key: string, seen: Observed, plan: Plan | undefined) => FitView {
  return (key) => { log.debug({ key }, 'no laws yet'); return NO_FIT; };
}
