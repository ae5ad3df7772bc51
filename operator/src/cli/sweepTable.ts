// A sweep for people to read. Numbers of laws and predictions are the status's own text.
import type { FitStatus, PredictionStatus } from '../api/sweepStatus.ts';
import { formula } from './law.ts';
import { formatCount, formatNumber, formatQuantity } from './quantities.ts';
import type { Quantity } from './quantities.ts';
import type { Paint } from './style.ts';
import { chosenFit, sweepChart } from './sweepData.ts';
import type { LawChoice } from './sweepData.ts';
import { hyperLaws, optima } from './sweepOptima.ts';
import type { SweepPoint } from './sweepPoints.ts';
import { lawOfStatus, sweepPoints } from './sweepPoints.ts';
import type { SweepView } from './sweepRead.ts';
import { textPlot } from './textPlot.ts';
import { plainText, textFields, textTable } from './textTable.ts';

const SHOWN_POINTS = 30;
const number = (title: string): { title: string; right: boolean } => ({ title, right: true });

export interface Screen {
  readonly columns: number;
  readonly paint: Paint;
  readonly wide: boolean;
}

export function sweepTable(view: SweepView, choice: LawChoice, screen: Screen): string {
  const { status } = view;
  const sections = [
    textFields(summary(view)), laws(status.fits ?? []), plotOf(view, choice, screen), predictions(status.prediction ?? []),
    optima(status.optima ?? []), hyperLaws(status.hyperLaws ?? []), points(view, screen), failures(view), warnings(status.fits ?? [], screen.paint),
  ];
  return `${sections.filter((text) => text !== '').join('\n\n')}\n`;
}

function summary({ metadata, status, grid }: SweepView): readonly (readonly [string, string])[] {
  const { points = {}, spent = {}, conditions = [] } = status;
  const counts = (['succeeded', 'running', 'waiting', 'stopped', 'failed'] as const).flatMap((state) => ((points[state] ?? 0) > 0 ? [`${String(points[state])} ${state}`] : []));
  const wrong = conditions.filter(({ type, status: holds }) => (type === 'Stalled' || type === 'Failed') && holds === 'True').concat(conditions.filter(({ type, status: holds }) => type === 'Accepted' && holds === 'False'));
  return [
    ['Sweep', `${metadata.namespace}/${metadata.name}`],
    ['Phase', status.phase ?? 'Pending'],
    ['Points', `${String(points.total ?? grid.length)}${counts.length === 0 ? '' : `: ${counts.join(', ')}`}`],
    ['Spent', `${spent.flops ?? '0'} FLOPs, ${spent.gpuHours ?? '0'} GPU-hours`],
    ...wrong.map(({ type, reason, message }) => [type, `${reason}: ${message}`] as const),
  ];
}

function laws(fits: readonly FitStatus[]): string {
  if (fits.length === 0) return '';
  const rows = fits.flatMap((fit) => {
    const law = lawOfStatus(fit);
    const head = [law === undefined ? `${fit.form ?? '?'} over ${fit.x ?? '?'}` : formula(law), fit.r2 ?? '-', String(fit.points ?? '-'), fit.extrapolationError ?? '-'];
    return (fit.parameters ?? []).map(({ name, value, lower, upper }, index) => [...(index === 0 ? head : ['', '', '', '']), name, value, lower ?? '-', upper ?? '-']);
  });
  return textTable([{ title: 'LAW' }, number('R2'), number('POINTS'), number('EXTRAPOLATION'), { title: 'PARAMETER' }, number('VALUE'), number('95 % FROM'), number('TO')], rows);
}

/** Of the law that was asked for, or the first; none as long as there is no law. */
function plotOf(view: SweepView, choice: LawChoice, { columns, paint }: Screen): string {
  const isAsked = choice.form !== undefined || choice.x !== undefined;
  if (!isAsked && !(view.status.fits ?? []).some((fit) => lawOfStatus(fit) !== undefined)) return '';
  return textPlot(sweepChart(view, chosenFit(view, choice)), columns, paint);
}

/** Losses in the digits of the status; amounts shortened, JSON has them in full. */
function predictions(list: readonly PredictionStatus[]): string {
  if (list.length === 0) return '';
  return textTable([{ title: 'PREDICTION' }, { title: 'BY' }, { title: 'LOSS' }, { title: 'PARAMS' }, { title: 'TOKENS' }, { title: 'FLOPS' }, { title: 'NOTE' }], list.map((each) => [
    each.name ?? '', `${each.form ?? ''}(${each.x ?? ''})`, range(each.loss, each.lower, each.upper),
    range(...short('params', each.parameters, each.parametersLower, each.parametersUpper)), range(...short('tokens', each.tokens, each.tokensLower, each.tokensUpper)),
    range(...short('flops', each.flops, each.flopsLower, each.flopsUpper)), each.message ?? '',
  ]));
}

type Texts = readonly (string | undefined)[];

function short(quantity: Quantity, ...texts: Texts): Texts {
  return texts.map((text) => (text === undefined ? undefined : formatQuantity(quantity, Number(text))));
}

function range(...[value, lower, upper]: Texts): string {
  if (value === undefined) return '-';
  return lower === undefined && upper === undefined ? value : `${value} (${lower ?? '-'} to ${upper ?? 'open'})`;
}

function points(view: SweepView, { wide }: Screen): string {
  const all = sweepPoints(view);
  const shown = wide ? all : all.slice(0, SHOWN_POINTS);
  const more = all.length > shown.length ? `\nand ${String(all.length - shown.length)} more: -o wide, csv or json` : '';
  const extra = wide ? [number('FLOPS'), number('GPU-HOURS'), number('UNSEEN-LOSS'), { title: 'ID' }, { title: 'RUN' }] : [];
  return `${textTable([{ title: 'SIZE' }, number('PARAMS'), number('BUDGET'), number('RATE'), number('BATCH'), number('SEED'), { title: 'STATE' }, number('VAL-LOSS'), number('STD-ERR'), ...extra], shown.map((each) => pointRow(each, wide)))}${more}`;
}

function pointRow(each: SweepPoint, wide: boolean): readonly string[] {
  const { point: { size, tokens, steps, learningRate, batchTriplets, seed }, record, live } = each;
  const budget = tokens === undefined ? `${String(steps ?? 0)} steps` : `${formatCount(tokens)} tokens`;
  const losses = record === undefined ? [live?.valLoss ?? '', '-'] : [lossText(record.valLoss), lossText(record.valLossStandardError, 2)];
  const cells = [size, formatCount(each.parameters), budget, learningRate, String(batchTriplets), String(seed), stateText(each), ...losses];
  return [...cells, ...(wide ? wideCells(each) : [])].map((text) => (text === '' ? '-' : text));
}

function lossText(value: number | undefined, digits = 5): string {
  return value === undefined ? '-' : formatNumber(value, digits);
}

function stateText({ state, live }: SweepPoint): string {
  return live === undefined || live.step === '' ? state : `${state} ${live.step}/${live.totalSteps}`;
}

function wideCells({ id, record, live }: SweepPoint): readonly string[] {
  if (record === undefined) return ['', '', '', id, live?.name ?? ''];
  return [formatQuantity('flops', record.flops), formatNumber(record.gpuHours, 3), lossText(record.unseenLoss), id, record.run.name];
}

function failures({ status: { failures: list = [] } }: SweepView): string {
  if (list.length === 0) return '';
  return textTable([{ title: 'FAILED POINT' }, { title: 'RUN' }, { title: 'REASON' }, { title: 'MESSAGE' }], list.map(({ point = '', run = '', reason = '', message = '' }) => [point, run, reason, message.slice(0, 100)]));
}

function warnings(fits: readonly FitStatus[], paint: Paint): string {
  return fits.flatMap(({ form = '', x = '', warnings: list = [] }) => list.map((text) => `${paint('yellow', 'warning:')} ${form} over ${x}: ${plainText(text)}`)).join('\n');
}
