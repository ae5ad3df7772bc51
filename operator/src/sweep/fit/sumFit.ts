import { rangeOf, r2Of } from './bare.ts';
import { bootstrap } from './bootstrap.ts';
import { covarianceOf } from './covariance.ts';
import { FitError } from './error.ts';
import { ascending, quantile, squares, standardDeviation, studentQuantile } from './numbers.ts';
import { fitSum, natural, residualsOf } from './sums.ts';
import type { Bare } from './bare.ts';
import type { Columns } from './columns.ts';
import type { Settings } from './settings.ts';
import type { Estimate } from './types.ts';

const NAMES = { offset: ['E', 'b', 'a'], joint: ['E', 'A', 'B', 'alpha', 'beta'] } as const;

/** The offset and joint forms: best of many starts, intervals from resamples (or asymptotic ones without). */
export function fitOffsetOrJoint(columns: Columns, settings: Settings): { bare: Bare; others: readonly number[] } {
  const form = columns.x.length === 1 ? 'offset' : 'joint';
  const solution = fitSum(columns, settings.delta);
  const residuals = residualsOf(solution);
  const degreesOfFreedom = residuals.length - NAMES[form].length;
  const values = natural(solution, solution.problem, solution.theta);
  if (!values.every(Number.isFinite)) throw new FitError('observations', 'a table whose law has finite parameters', values.join(', '));
  const covariance = covarianceOf(solution, residuals, degreesOfFreedom);
  const samples = bootstrap(solution, { residuals, degreesOfFreedom }, { resamples: settings.bootstrap, seed: settings.seed });
  const asymptotic = { values, covariance, t: studentQuantile(settings.confidence, degreesOfFreedom) };
  const estimates = NAMES[form].map((name, p) => (samples.length > 1 ? sampled(name, p, { values, samples, confidence: settings.confidence }) : expected(name, p, asymptotic)));
  const bare: Bare = {
    form, ...(settings.axis === undefined ? {} : { axis: settings.axis }), estimates, objective: solution.value, delta: settings.delta,
    r2: r2Of(residuals, squares(columns.loss.map(Math.log))), points: residuals.length, degreesOfFreedom, confidence: settings.confidence,
    residuals, scatter: Math.sqrt(residuals.reduce((sum, r) => sum + r * r, 0) / degreesOfFreedom), range: rangeOf(columns), samples, covariance,
  };
  return { bare, others: solution.others.map((other) => other.value) };
}

function sampled(name: string, p: number, from: { readonly values: readonly number[]; readonly samples: readonly (readonly number[])[]; readonly confidence: number }): Estimate {
  const column = ascending(from.samples.map((sample) => sample[p]!));
  const tail = (1 - from.confidence) / 2;
  return {
    name, value: from.values[p]!, standardError: standardDeviation(column),
    lower: Math.min(from.values[p]!, quantile(column, tail)), upper: Math.max(from.values[p]!, quantile(column, 1 - tail)),
  };
}

/** Without resamples: E and the coefficients are normal in their logs, the exponents as they are. */
function expected(name: string, p: number, from: { readonly values: readonly number[]; readonly covariance: readonly (readonly number[])[]; readonly t: number }): Estimate {
  const value = from.values[p]!;
  const error = Math.sqrt(Math.max(0, from.covariance[p]![p]!));
  const inLogs = p <= (from.values.length - 1) / 2;
  if (!inLogs) return { name, value, standardError: error, lower: Math.max(0, value - from.t * error), upper: value + from.t * error };
  const wide = Math.min(700, from.t * error);
  return { name, value, standardError: value * error, lower: value * Math.exp(-wide), upper: Math.min(Number.MAX_VALUE, value * Math.exp(wide)) };
}
