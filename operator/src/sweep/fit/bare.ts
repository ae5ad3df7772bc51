import type { Columns } from './columns.ts';
import type { Fit, Span } from './types.ts';

/** A fit before what needs more fits: extrapolation and warnings. */
export type Bare = Omit<Fit, 'extrapolation' | 'warnings' | 'codes'>;

/** Smallest and largest of each column. */
export function rangeOf(columns: Columns): Fit['range'] {
  const span = (values: readonly number[]): Span => ({ min: values.reduce((a, b) => Math.min(a, b)), max: values.reduce((a, b) => Math.max(a, b)) });
  return { ...Object.fromEntries(columns.axes.map((axis, k) => [axis, span(columns.x[k]!)])), loss: span(columns.loss) };
}

/** Share of the variance of ln loss that the law explains; 0 when there is none to explain. */
export function r2Of(residuals: readonly number[], total: number): number {
  const left = residuals.reduce((sum, r) => sum + r * r, 0);
  return total > 0 ? 1 - left / total : 0;
}
