// A sweep as data: JSON and YAML for programs, CSV that `fit` reads, and the chart that is drawn.
import type { FitStatus } from '../api/sweepStatus.ts';
import { describePoint } from '../sweep/naming.ts';
import { observationOf } from '../sweep/observations.ts';
import type { PointRecord } from '../sweep/point.ts';
import type { Chart } from './chart.ts';
import { chartOf } from './chart.ts';
import { Failure } from './command.ts';
import type { Law } from './law.ts';
import { intervalOf, lawOfStatus, observationsOf, sweepPoints } from './sweepPoints.ts';
import type { SweepView } from './sweepRead.ts';

const LISTS = ['fits', 'prediction', 'optima', 'hyperLaws', 'failures', 'next'] as const;

/** Fits and predictions exactly as in the status; points with all that was recorded. */
export function sweepJson(view: SweepView): Record<string, unknown> {
  const { metadata: { name, namespace, uid }, status: { phase, conditions = [], points = {}, spent = {}, reserved = {}, ...found } } = view;
  return {
    name, namespace, uid, phase, conditions, points, spent, reserved,
    ...Object.fromEntries(LISTS.map((list) => [list, found[list] ?? []])),
    records: sweepPoints(view).map(({ id, point, state, record, live }) => ({ ...record, id, point, state, ...(live === undefined ? {} : { run: { name: live.name } }) })),
  };
}

const HEADER = ['id', 'point', 'size', 'params', 'tokens', 'flops', 'loss', 'lossStandardError', 'learningRate', 'batchTriplets', 'seed', 'steps', 'gpuHours', 'run', 'completedTime'] as const;

/** Every point with a loss, in the units of spec.fit; or, for a law, exactly what it was fitted to. */
export function sweepCsv(view: SweepView, law?: Law): string {
  const { spec: { fit }, records } = view;
  const observations = law === undefined ? sweepPoints(view).flatMap(({ record }) => (record === undefined ? [] : observationOf(record, fit) ?? [])) : observationsOf(view, law);
  const rows = observations.map(({ parameters, tokens, flops, loss, label = '' }) => {
    const record = records.get(label);
    const about = record === undefined ? ['', ''] : [describePoint(record.point), record.point.size];
    return [label, ...about, parameters, tokens, flops, loss, ...(record === undefined ? [] : detailsOf(record, fit.policies))];
  });
  return [HEADER, ...rows].map((row) => HEADER.map((_, index) => cell(row[index])).join(',')).join('\n') + '\n';
}

function detailsOf({ point: { learningRate, batchTriplets, seed }, steps, gpuHours, run, completedTime, ...record }: PointRecord, policies: 'seen' | 'unseen'): readonly (string | number | undefined)[] {
  return [policies === 'unseen' ? record.unseenLossStandardError : record.valLossStandardError, learningRate, batchTriplets, seed, steps, gpuHours, run.name, completedTime];
}

/** A leading sign that a spreadsheet would take for a formula cannot occur: names and numbers only. */
function cell(value: string | number | undefined): string {
  const text = String(value ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export interface LawChoice {
  readonly form?: string;
  readonly x?: string;
}

/** The first fit of the status that was asked for and has parameters. Throws Failure when there is none. */
export function chosenFit({ metadata, status: { fits = [] } }: SweepView, { form, x }: LawChoice): FitStatus {
  const found = fits.find((fit) => (form === undefined || fit.form === form) && (x === undefined || fit.x === x) && lawOfStatus(fit) !== undefined);
  if (found !== undefined) return found;
  const has = fits.map((fit) => `${fit.form ?? '?'} over ${fit.x ?? '?'}`).join(', ');
  throw new Failure(`PolarSweep ${metadata.namespace}/${metadata.name}: status.fits has no ${form ?? 'law'}${x === undefined ? '' : ` over ${x}`}, only ${has === '' ? 'nothing yet: a fit needs at least three finished points' : has}`);
}

/** Draws a law of the status. */
export function sweepChart(view: SweepView, fit: FitStatus): Chart {
  const law = lawOfStatus(fit);
  if (law === undefined) throw new Failure(`PolarSweep ${view.metadata.name}: the law ${fit.form ?? ''} has no parameters`);
  const interval = intervalOf(view, fit);
  const number = (text: string | undefined): number | undefined => (text === undefined || text === '' ? undefined : Number(text));
  const targets = (view.status.prediction ?? []).flatMap(({ name = '', form, x, parameters, tokens, flops, loss, lower, upper }) => {
    if (form !== fit.form || x !== fit.x || loss === undefined) return [];
    const place = { parameters: number(parameters), tokens: number(tokens), flops: number(flops), lower: number(lower), upper: number(upper) };
    return [{ name, loss: Number(loss), ...Object.fromEntries(Object.entries(place).filter(([, value]) => value !== undefined)) }];
  });
  return chartOf({
    title: `${view.metadata.namespace}/${view.metadata.name}`, law, note: `${String(fit.points ?? 0)} runs, R\u00b2 ${fit.r2 ?? '-'}`,
    fitted: observationsOf(view, law), heldOut: [], targets,
    ...(interval === undefined ? {} : { interval }),
  });
}
