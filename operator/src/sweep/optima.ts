// The best learning rate and batch at each size and budget of a sweep, and the laws over them (paper App. D.1.2). Pure.
import type { HyperLawStatus, OptimumStatus, SweepStatus } from '../api/sweepStatus.ts';
import { optimaOf, settingLaw } from './fit/optima.ts';
import type { ScaleOptimum, Setting, Tried } from './fit/optima.ts';
import { decimal } from './decimals.ts';
import { observationOf } from './observations.ts';
import type { FitSpec } from './observations.ts';
import type { PointRecord } from './point.ts';

const SETTINGS: readonly Setting[] = ['learningRate', 'batchTriplets'];
/** Of each setting, the largest: the others matter less for what comes next. */
const MOST = 10;
const LONGEST = 256;

/** Nothing for a setting that was not tried with three values at one size and budget. */
export function optimaFields(records: readonly PointRecord[], fit: FitSpec): Pick<SweepStatus, 'optima' | 'hyperLaws'> {
  const found = SETTINGS.map((of) => ({ of, optima: optimaOf(of, triedIn(records, fit, of)) })).filter(({ optima }) => optima.length > 0);
  return {
    optima: found.flatMap(({ of, optima }) => optima.slice(-MOST).map((one) => optimumStatus(of, one))),
    hyperLaws: found.flatMap(({ of, optima }) => (optima.length < 2 ? [] : [lawStatus(of, optima)])),
  };
}

/** For every value and seed the lowest loss: the other setting is at its best, so it does not blur this one. */
export function triedIn(records: readonly PointRecord[], fit: FitSpec, of: Setting): readonly Tried[] {
  const all = records.flatMap((record) => {
    const { point } = record;
    const [one, value] = [observationOf(record, fit), Number(point[of])];
    if (one?.parameters === undefined || !(value > 0)) return [];
    const tried: Tried = { size: point.size, parameters: one.parameters, tokens: point.tokens ?? record.tokens, value, loss: one.loss };
    return [{ tried, key: JSON.stringify([point.size, point.tokens, point.steps, point.seed, value, ...(point.steps === undefined ? [] : [point.batchTriplets])]) }];
  });
  const best = [...Map.groupBy(all, ({ key }) => key).values()];
  return best.map((group) => group.reduce((lowest, other) => (other.tried.loss < lowest.tried.loss ? other : lowest)).tried);
}

/** As status has it: numbers in six digits, reserves in one message. */
export function optimumStatus(of: Setting, { size, parameters, tokens, value, lower, upper, loss, runs, degree, warnings }: ScaleOptimum): OptimumStatus {
  return {
    of, value: decimal(value), loss: decimal(loss), runs, degree,
    ...(size === undefined ? {} : { size }), ...texts({ parameters, tokens, lower, upper }),
    ...(warnings.length === 0 ? {} : { message: warnings.join('; ').slice(0, LONGEST) }),
  };
}

export function lawStatus(of: Setting, optima: readonly ScaleOptimum[]): HyperLawStatus {
  const { fit, points, notes } = settingLaw(of, optima);
  const coefficients = fit?.estimates.map(({ name, value, standardError, lower, upper }) => ({ name, value: decimal(value), ...texts({ standardError, lower, upper }) }));
  return {
    of, points, ...(fit === undefined ? {} : { r2: decimal(fit.r2) }), ...(coefficients === undefined ? {} : { coefficients }),
    ...(notes.length === 0 ? {} : { message: notes.join('; ').slice(0, LONGEST) }),
  };
}

function texts<Name extends string>(values: Readonly<Record<Name, number | undefined>>): Partial<Record<Name, string>> {
  return Object.fromEntries(Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, decimal(value as number)]]))) as Partial<Record<Name, string>>;
}
