import { columnsOf } from './columns.ts';
import { FitError } from './error.ts';
import { extrapolationOf } from './extrapolation.ts';
import { fitLine } from './line.ts';
import { fitOffsetOrJoint } from './sumFit.ts';
import { warningsOf } from './warnings.ts';
import type { Columns } from './columns.ts';
import type { Axis, Fit, FitOptions, Observation, Span } from './types.ts';

/** Options with their defaults. */
export interface Settings {
  readonly form: Fit['form'];
  readonly axis: Axis | undefined;
  readonly delta: number;
  readonly bootstrap: number;
  readonly seed: number;
  readonly confidence: number;
}

/** A fit before what needs more fits: extrapolation and warnings. */
export type Bare = Omit<Fit, 'extrapolation' | 'warnings' | 'codes'>;

/**
 * Fits a law of the loss (paper section 4.4 and its extensions) to finished runs. Power is least squares of ln loss
 * with t intervals; offset and joint minimise Huber's loss of ln loss from many starts, with bootstrap intervals.
 * @throws FitError naming the option, cell or column that is missing or wrong
 */
export function fitLaw(observations: readonly Observation[], options: FitOptions): Fit {
  const settings = settingsOf(options);
  const columns = columnsOf(observations, settings.form, settings.axis);
  const { bare, others } = fitColumns(columns, settings);
  const extrapolation = extrapolationOf(columns, settings);
  const told = warningsOf(bare, { observations, columns, extrapolation, others });
  return {
    ...bare, ...(extrapolation === undefined ? {} : { extrapolation }),
    warnings: told.map((warning) => warning.message), codes: told.map((warning) => warning.code),
  };
}

/** The fit alone. `others` are objectives of other minima, for the sum laws. */
export function fitColumns(columns: Columns, settings: Settings): { bare: Bare; others: readonly number[] } {
  return settings.form === 'power' ? { bare: fitLine(columns, settings), others: [] } : fitOffsetOrJoint(columns, settings);
}

const DEFAULTS = { delta: 0.001, bootstrap: 1000, seed: 0, confidence: 0.95 } as const;

export function settingsOf(options: FitOptions): Settings {
  const { form, axis, delta, bootstrap, seed, confidence } = { ...DEFAULTS, ...options };
  require(['power', 'offset', 'joint'].includes(form), 'options.form', 'power, offset or joint', form);
  require(axis === undefined || ['parameters', 'tokens', 'flops'].includes(axis), 'options.axis', 'parameters, tokens or flops', axis);
  require(Number.isFinite(delta) && delta > 0, 'options.delta', 'a number above 0', delta);
  require(Number.isInteger(bootstrap) && bootstrap >= 0 && bootstrap <= 100_000, 'options.bootstrap', 'an integer from 0 to 100000', bootstrap);
  require(Number.isSafeInteger(seed), 'options.seed', 'an integer', seed);
  require(confidence > 0 && confidence < 1, 'options.confidence', 'a number between 0 and 1', confidence);
  return { form, axis: form === 'joint' ? undefined : axis ?? 'parameters', delta, bootstrap, seed, confidence };
}

function require(holds: boolean, path: string, expected: string, got: string | number | undefined): void {
  if (!holds) throw new FitError(path, expected, got === undefined ? 'nothing' : String(got));
}

export function rangeOf(columns: Columns): Fit['range'] {
  const span = (values: readonly number[]): Span => ({ min: values.reduce((a, b) => Math.min(a, b)), max: values.reduce((a, b) => Math.max(a, b)) });
  return { ...Object.fromEntries(columns.axes.map((axis, k) => [axis, span(columns.x[k]!)])), loss: span(columns.loss) };
}

/** Share of the variance of ln loss that the law explains; 0 when there is none to explain. */
export function r2Of(residuals: readonly number[], total: number): number {
  const left = residuals.reduce((sum, r) => sum + r * r, 0);
  return total > 0 ? 1 - left / total : 0;
}
