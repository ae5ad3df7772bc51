// Verdicts: a number against its threshold, judged by its interval.
import type { Estimate } from './statistics.ts';

/** Unclear: the interval holds the threshold, or nothing was measured. */
export type State = 'Pass' | 'Fail' | 'Unclear';

export interface Condition { readonly name: string; readonly measured: Estimate; readonly expected: 'above' | 'below'; readonly threshold: number; readonly state: State }

/** Pass: all conditions pass. Fail: at least one fails. */
export interface Verdict { readonly state: State; readonly conditions: readonly Condition[] }

/** What every suite returns. `rows` are for people to read, the most wrong first. */
export interface SuiteResult<Row, Tables = unknown> {
  readonly suite: string;
  readonly numbers: Readonly<Record<string, Estimate>>;
  readonly verdict: Verdict;
  readonly tables: Tables;
  readonly rows: readonly Row[];
}

/** Pass when the whole interval lies above the threshold, Fail when all of it lies at or below. */
export function above(name: string, measured: Estimate, threshold: number): Condition {
  const { lower, upper } = measured;
  const state = lower === null || upper === null ? 'Unclear' : lower > threshold ? 'Pass' : upper <= threshold ? 'Fail' : 'Unclear';
  return { name, measured, expected: 'above', threshold, state };
}

/** Pass when the whole interval lies below the threshold, Fail when all of it lies at or above. */
export function below(name: string, measured: Estimate, threshold: number): Condition {
  const { lower, upper } = measured;
  const state = lower === null || upper === null ? 'Unclear' : upper < threshold ? 'Pass' : lower >= threshold ? 'Fail' : 'Unclear';
  return { name, measured, expected: 'below', threshold, state };
}

export function judge(conditions: readonly Condition[]): Verdict {
  const states = conditions.map(({ state }) => state);
  const state = states.includes('Fail') ? 'Fail' : states.length > 0 && states.every((one) => one === 'Pass') ? 'Pass' : 'Unclear';
  return { state, conditions };
}
