// Whether a sweep has come to its end, and how. Pure.
import type { Limit } from './capacity.ts';
import type { Situation } from './situation.ts';

export interface Ending {
  readonly type: 'Complete' | 'Failed';
  readonly reason: 'AllPointsDone' | 'BudgetExhausted' | 'PrecisionReached' | 'NoPointSucceeded';
  readonly message: string;
}

/** Why strategy planned starts no more. */
export interface PlannedEnd {
  readonly reason: 'PrecisionReached' | 'BudgetExhausted';
  readonly message: string;
}

/** Of a sweep in which nothing is started, stopped or resumed now; `limit` is what keeps the next run from starting. */
export function endOf(s: Situation, limit: Limit | undefined, planned: PlannedEnd | undefined): Ending | undefined {
  const count = (...states: readonly string[]): number => s.points.filter(({ state }) => states.includes(state)).length;
  if (s.open.some(({ state }) => state === 'Active')) return undefined;
  const left = count('Waiting', 'Suspended', 'Running');
  const counts = `${count('Succeeded')} of ${s.points.length} points succeeded, ${count('Failed')} failed, ${count('Stopped')} were stopped early`;
  if (left > 0) {
    if (s.spec.suspend) return undefined;
    if (planned !== undefined) return { type: 'Complete', reason: planned.reason, message: `${planned.message}; ${counts}` };
    if (limit !== 'budget.flops' && limit !== 'budget.gpuHours') return undefined;
    return { type: 'Complete', reason: 'BudgetExhausted', message: `${counts}; ${left} are left, for which ${limit} is too small: raise it to go on` };
  }
  if (count('Succeeded') === 0) return { type: 'Failed', reason: 'NoPointSucceeded', message: counts };
  return { type: 'Complete', reason: 'AllPointsDone', message: counts };
}
