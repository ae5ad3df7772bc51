// The points of a sweep with their states, and those that a law of it was fitted to.
import type { FitStatus } from '../api/sweepStatus.ts';
import type { Axis, Form, Observation } from '../sweep/fit/types.ts';
import type { Point, PointRecord } from '../sweep/point.ts';
import type { LiveRun, SweepView } from './sweepRead.ts';
import { PARAMETERS } from './law.ts';
import type { Law } from './law.ts';

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

/** What a fit of this sweep sees of a point: parameters, compute and policies as spec.fit says; undefined for one that is not fitted. */
export function observationOf({ spec: { fit } }: SweepView, { record, id }: SweepPoint): Observation | undefined {
  const loss = fit.policies === 'unseen' ? record?.unseenLoss : record?.valLoss;
  if (record === undefined || record.outcome !== 'Succeeded' || loss === undefined) return undefined;
  const parameters = fit.parameters === 'total' ? record.parameters : record.parametersWithoutEmbedding;
  return { parameters, tokens: record.tokens, flops: fit.compute === 'actual' ? record.flops : 6 * parameters * record.tokens, loss, label: id };
}

/** The law that a fit of the status states; undefined when the fit has failed or is of a newer version. */
export function lawOfStatus({ form, x, parameters = [] }: FitStatus): Law | undefined {
  const values = Object.fromEntries(parameters.map(({ name, value }) => [name, Number(value)]));
  const known = (Object.keys(PARAMETERS) as Form[]).find((each) => each === form);
  if (known === undefined || !PARAMETERS[known].every((name) => Number.isFinite(values[name]))) return undefined;
  const axis = (['parameters', 'tokens', 'flops'] as const satisfies readonly Axis[]).find((each) => each === x);
  return { form: known, values, ...(axis === undefined ? {} : { axis }) };
}
