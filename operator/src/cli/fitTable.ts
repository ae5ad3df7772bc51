// A fit for people to read.
import type { Amount } from '../sweep/fit/types.ts';
import { fitChart } from './fitData.ts';
import type { FitAnswer } from './fitAnswer.ts';
import { SYMBOLS, formula } from './law.ts';
import { formatNumber, formatQuantity } from './quantities.ts';
import type { Quantity } from './quantities.ts';
import type { Paint } from './style.ts';
import { textPlot } from './textPlot.ts';
import { textFields, textTable } from './textTable.ts';

const SHOWN_HELD_OUT = 12;
const number = (title: string): { title: string; right: boolean } => ({ title, right: true });

export function fitTable(answer: FitAnswer, { columns, paint }: { readonly columns: number; readonly paint: Paint }): string {
  const sections = [
    textFields(summary(answer)),
    parameters(answer),
    textPlot(fitChart(answer), columns, paint),
    predictions(answer), needs(answer), heldOut(answer),
    warnings(answer, paint),
  ];
  return `${sections.filter((text) => text !== '').join('\n\n')}\n`;
}

function summary({ source, points, fit, fitting, law }: FitAnswer): readonly (readonly [string, string])[] {
  const left = [
    ...(points.filtered > 0 ? [`${String(points.filtered)} left out`] : []), ...(points.heldOut.length > 0 ? [`${String(points.heldOut.length)} held out`] : []),
    ...(points.bad.length > 0 ? [`${String(points.bad.length)} unreadable`] : []),
  ];
  const method = fit.form === 'power' ? 'sum of squares of ln loss' : `sum of Huber losses of ln loss, delta ${String(fit.delta ?? fitting.delta ?? 0.001)}`;
  const { extrapolation } = fit;
  return [
    ['Law', formula(law)],
    ['Runs', `${String(fit.points)} of ${String(points.rows)} rows of ${source}${left.length > 0 ? ` (${left.join(', ')})` : ''}`],
    ['Columns', [...points.columns.map(({ quantity, header }) => `${quantity} = ${JSON.stringify(header)}`), ...(points.derived === undefined ? [] : [`${points.derived} (derived)`])].join(', ')],
    ['Objective', `${formatNumber(fit.objective, 7)}  (${method})`],
    ['R2', `${formatNumber(fit.r2, 5)}  (of ln loss)`],
    ['Scatter', `${formatNumber(fit.scatter * 100, 3)} %  (of one run about the law)`],
    ...(extrapolation === undefined ? [] : [['Extrapolation', `${formatNumber(extrapolation.error * 100, 3)} %  (mean error at the ${String(extrapolation.heldOut)} largest, fitted without them)`] as const]),
  ];
}

function parameters({ fit, fitting }: FitAnswer): string {
  const resamples = fitting.bootstrap ?? 1000;
  const how = fit.form === 'power' ? 't interval' : resamples > 0 ? `${String(resamples)} resamples` : 'asymptotic';
  const percent = String(fit.confidence * 100);
  return textTable([{ title: 'PARAMETER' }, number('VALUE'), number(`${percent} % FROM`), number('TO'), number('STD ERROR'), { title: 'BY' }],
    fit.estimates.map(({ name, value, lower, upper, standardError }) => [name, formatNumber(value, 6), formatNumber(lower, 5), formatNumber(upper, 5), formatNumber(standardError, 3), how]));
}

function predictions({ predictions: list }: FitAnswer): string {
  if (list.length === 0) return '';
  const quantity = (name: Quantity, value: number | undefined): string => (value === undefined ? '-' : formatQuantity(name, value));
  return textTable([{ title: 'PREDICTION' }, number('PARAMS'), number('TOKENS'), number('FLOPS'), number('LOSS'), number('95 % FROM'), number('TO'), number('ONE RUN FROM'), number('TO')],
    list.map(({ text, at, prediction: { loss, lower, upper, runLower, runUpper } }) => [text, quantity('params', at.parameters), quantity('tokens', at.tokens), quantity('flops', at.flops), ...[loss, lower, upper, runLower, runUpper].map((value) => formatNumber(value, 4))]));
}

function needs({ needs: list }: FitAnswer): string {
  if (list.length === 0) return '';
  const rows = list.flatMap(({ text, needed }) => {
    if (needed === 'unreachable') return [[text, 'unreachable: the law never gets there', '', '']];
    return (['flops', 'parameters', 'tokens'] as const).flatMap((axis) => amountRow(text, axis, needed[axis]));
  });
  return textTable([{ title: 'NEEDED' }, { title: 'AMOUNT' }, number('95 % FROM'), number('TO')], rows);
}

function amountRow(text: string, axis: keyof typeof SYMBOLS, amount: Amount | undefined): string[][] {
  if (amount === undefined) return [];
  const quantity = axis === 'parameters' ? 'params' : axis;
  return [[text, `${SYMBOLS[axis]} = ${formatQuantity(quantity, amount.value)}`, formatQuantity(quantity, amount.lower), amount.upper === undefined ? 'open' : formatQuantity(quantity, amount.upper)]];
}

function heldOut({ heldOut: list }: FitAnswer): string {
  if (list.length === 0) return '';
  const percent = (value: number): string => `${value >= 0 ? '+' : '-'}${formatNumber(Math.abs(value) * 100, 3)} %`;
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const errors = list.map(({ error }) => error);
  const rows = list.slice(0, SHOWN_HELD_OUT).map(({ row, predicted, error }) => [row.observation.label ?? '', formatNumber(row.observation.loss, 4), formatNumber(predicted.loss, 4), formatNumber(predicted.runLower, 4), formatNumber(predicted.runUpper, 4), percent(error)]);
  const inside = list.filter(({ row, predicted }) => row.observation.loss >= predicted.runLower && row.observation.loss <= predicted.runUpper).length;
  const more = list.length > SHOWN_HELD_OUT ? `\nand ${String(list.length - SHOWN_HELD_OUT)} more` : '';
  return `${textTable([{ title: 'HELD OUT' }, number('LOSS'), number('PREDICTED'), number('ONE RUN FROM'), number('TO'), number('ERROR')], rows)}${more}\n`
    + `mean error ${formatNumber(mean(errors.map(Math.abs)) * 100, 3)} %, bias ${percent(mean(errors))}; ${String(inside)} of ${String(list.length)} inside their 95 % interval`;
}

function warnings({ fit, points }: FitAnswer, paint: Paint): string {
  return [...points.bad.map((bad) => `left out: ${bad}`), ...fit.warnings].map((text) => `${paint('yellow', 'warning:')} ${text}`).join('\n');
}
