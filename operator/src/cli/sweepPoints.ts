// The points of a sweep with their states, and those that a law of it was fitted to.
import type { FitStatus } from '../api/sweepStatus.ts';
import { FitError } from '../sweep/fit/error.ts';
import { fitLaw } from '../sweep/fit/fit.ts';
import { predict } from '../sweep/fit/predict.ts';
import type { At, Axis, Fit, FitOptions, Form, Observation } from '../sweep/fit/types.ts';
import { observationsFor, wantedLaws } from '../sweep/laws.ts';
import type { Point, PointRecord } from '../sweep/point.ts';
import { PARAMETERS } from './law.ts';
import type { Law } from './law.ts';
import type { LiveRun, SweepView } from './sweepRead.ts';

export interface SweepPoint {
  readonly id: string;
  readonly point: Point;
  /** Outside the embedding. */
  readonly parameters: number;
  /** What became of it, the phase of its run, or Waiting. */
  readonly state: string;
  readonly record?: PointRecord;
  readonly live?: LiveRun;
}

/** Every point of the axes, small models and budgets first. */
export function sweepPoints({ grid, records, live }: SweepView): readonly SweepPoint[] {
  const budget = ({ tokens, steps }: Point): number => tokens ?? steps ?? 0;
  return [...grid].sort((a, b) => a.parameters - b.parameters || budget(a.point) - budget(b.point)).map(({ id, point, parameters }) => {
    const [record, run] = [records.get(id), live.get(id)];
    const state = record?.outcome ?? (run === undefined || run.phase === '' ? 'Waiting' : run.phase);
    return { id, point, parameters, state, ...(record === undefined ? {} : { record }), ...(run === undefined || record !== undefined ? {} : { live: run }) };
  });
}

/** What the law was fitted to, chosen from the records as the operator does. */
export function observationsOf(view: SweepView, { form, axis }: Pick<Law, 'form' | 'axis'>): readonly Observation[] {
  return observationsFor(recordsOnAxes(view), view.spec.fit, { form, ...(axis === undefined ? {} : { axis }) });
}

function recordsOnAxes({ grid, records }: SweepView): readonly PointRecord[] {
  return grid.flatMap(({ id }) => records.get(id) ?? []);
}

/**
 * The interval of a law of the status along its line. The status has only the intervals of its parameters, so the same
 * fit is made again; undefined when that does not give the very numbers of the status, as with another version.
 */
export function intervalOf(view: SweepView, status: FitStatus): ((at: At) => { readonly lower: number; readonly upper: number }) | undefined {
  const options = wantedLaws(recordsOnAxes(view), view.spec.fit).find(({ form, axis }) => form === status.form && (axis ?? 'parametersAndTokens') === status.x);
  const fit = options === undefined ? undefined : fitOrNothing(observationsOf(view, options), options);
  const isSame = fit?.estimates.every(({ name, value }) => status.parameters?.some((stated) => stated.name === name && closeTo(Number(stated.value), value)));
  if (fit === undefined || isSame !== true) return undefined;
  return (at) => {
    const { lower, upper } = predict(fit, at);
    return { lower, upper };
  };
}

function fitOrNothing(observations: readonly Observation[], options: FitOptions): Fit | undefined {
  try {
    return fitLaw(observations, options);
  } catch (error) {
    if (error instanceof FitError) return undefined;
    throw error;
  }
}

/** But for the rounding of a status. */
function closeTo(stated: number, value: number): boolean {
  return Math.abs(stated - value) <= 1e-5 * Math.abs(value);
}

/** The law that a fit of the status states; undefined when the fit has failed or is of a newer version. */
export function lawOfStatus({ form, x, parameters = [] }: FitStatus): Law | undefined {
  const values = Object.fromEntries(parameters.map(({ name, value }) => [name, Number(value)]));
  const known = (Object.keys(PARAMETERS) as Form[]).find((each) => each === form);
  if (known === undefined || !PARAMETERS[known].every((name) => Number.isFinite(values[name]))) return undefined;
  const axis = (['parameters', 'tokens', 'flops'] as const satisfies readonly Axis[]).find((each) => each === x);
  return { form: known, values, ...(axis === undefined ? {} : { axis }) };
}
