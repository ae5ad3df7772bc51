import { columnsOf, different, valueOf } from './columns.ts';
import { enough, heldOutError, pick } from './extrapolation.ts';
import { fitColumns } from './fitColumns.ts';
import { settingsOf } from './settings.ts';
import type { Columns } from './columns.ts';
import type { Settings } from './settings.ts';
import type { Extrapolation, FitOptions, Observation } from './types.ts';

/** How a law changes when it is refitted to part of the points. */
export interface Shift {
  /** Points that the refit saw. */
  readonly points: number;
  /** Values of the exponents by the whole fit and by the refit. */
  readonly exponents: readonly { readonly name: string; readonly whole: number; readonly refit: number; readonly shift: number }[];
  /** What the refit says of the points it did not see; none when it saw all. */
  readonly heldOut?: Extrapolation;
  /** Root of the mean square of the refit's residuals of ln loss. */
  readonly rms: number;
}

/** A refit, or the reason why there is none. */
export type Stressed = Shift | { readonly skipped: string };

export interface Stress {
  /** Refitted with the sizes between the extremes held out. */
  readonly extremes: Stressed;
  /** Refitted to the points whose tokens grow in proportion to size. */
  readonly proportional: Stressed;
}

/**
 * The third check of the method: whether the law survives when the sizes between the extremes are not shown to it
 * (power keeps the smallest and largest size, the others two of each), and when data grow in proportion to size.
 * @throws FitError as fitLaw does
 */
export function stress(observations: readonly Observation[], options: FitOptions): Stress {
  const settings = { ...settingsOf(options), bootstrap: 0 };
  const columns = columnsOf(observations, settings.form, settings.axis);
  return { extremes: extremes(columns, settings), proportional: proportional(observations, columns, settings) };
}

function extremes(columns: Columns, settings: Settings): Stressed {
  const sizes = different(columns.x[0]!);
  const kept = settings.form === 'power' ? 1 : 2;
  if (sizes.length < 2 * kept + 1) return { skipped: `${sizes.length} sizes: none lies between the ${kept === 1 ? 'extremes' : 'two smallest and the two largest'}` };
  const [low, high] = [sizes[kept - 1]! * 1.0005, sizes.at(-kept)! * 0.9995];
  return shift(columns, settings, (i) => columns.x[0]![i]! <= low || columns.x[0]![i]! >= high);
}

/** One point per size: that whose ratio of tokens to parameters is nearest to the middle of all ratios. */
function proportional(observations: readonly Observation[], columns: Columns, settings: Settings): Stressed {
  const sizes = observations.map((observation) => valueOf(observation, 'parameters'));
  const ratios = observations.map((observation, i) => Math.log((valueOf(observation, 'tokens') ?? Number.NaN) / (sizes[i] ?? Number.NaN)));
  if (!ratios.every(Number.isFinite)) return { skipped: 'parameters and tokens of every point are needed' };
  const middle = [...ratios].sort((left, right) => left - right)[Math.floor(ratios.length / 2)]!;
  const nearest = new Map<number, number>();
  observations.forEach((_, i) => {
    const size = Math.round(Math.log(sizes[i]!) * 20);
    const other = nearest.get(size);
    if (other === undefined || Math.abs(ratios[i]! - middle) < Math.abs(ratios[other]! - middle)) nearest.set(size, i);
  });
  const chosen = new Set([...nearest.values()].filter((i) => Math.abs(ratios[i]! - middle) < Math.log(1.5)));
  if (settings.form === 'joint') return { skipped: 'with tokens in proportion to size the two terms of the joint law are one: stress power or offset' };
  return shift(columns, settings, (i) => chosen.has(i));
}

function shift(columns: Columns, settings: Settings, keep: (i: number) => boolean): Stressed {
  const part = pick(columns, keep);
  if (!enough(part, settings)) return { skipped: `${part.loss.length} points are left: too few for the form ${settings.form}` };
  const whole = fitColumns(columns, settings).bare;
  const refit = fitColumns(part, settings).bare;
  const heldOut = heldOutError(columns, settings, keep);
  const first = settings.form === 'power' ? 1 : (whole.estimates.length + 1) / 2;
  return {
    points: part.loss.length,
    exponents: whole.estimates.slice(first).map((estimate, p) => {
      const value = refit.estimates[first + p]!.value;
      return { name: estimate.name, whole: estimate.value, refit: value, shift: value - estimate.value };
    }),
    ...(heldOut === undefined ? {} : { heldOut }),
    rms: Math.sqrt(refit.residuals.reduce((sum, r) => sum + r * r, 0) / part.loss.length),
  };
}
