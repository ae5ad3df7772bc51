import { columnsOf } from './columns.ts';
import { extrapolationOf } from './extrapolation.ts';
import { fitColumns } from './fitColumns.ts';
import { settingsOf } from './settings.ts';
import { warningsOf } from './warnings.ts';
import type { Fit, FitOptions, Observation } from './types.ts';

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
