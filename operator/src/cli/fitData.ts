// A fit as data: JSON for programs, CSV that `fit` reads again, and the chart that is drawn.
import { predict } from '../sweep/fit/predict.ts';
import type { At } from '../sweep/fit/types.ts';
import type { Chart } from './chart.ts';
import { chartOf } from './chart.ts';
import type { FitAnswer } from './fitAnswer.ts';
import { formula, lossOf } from './law.ts';
import { formatNumber } from './quantities.ts';

/** Full precision; the names of `status.fits` of a PolarSweep where both have them. */
export function fitJson(answer: FitAnswer): Record<string, unknown> {
  const { fit, fitting, points, law } = answer;
  return {
    source: answer.source,
    rows: { total: points.rows, fitted: points.fitted.length, heldOut: points.heldOut.length, leftOut: points.filtered, bad: points.bad },
    columns: Object.fromEntries(points.columns.map(({ quantity, header }) => [quantity, header])),
    ...(points.derived === undefined ? {} : { derived: points.derived }),
    form: fit.form, x: fit.axis ?? 'parametersAndTokens', formula: formula(law),
    parameters: fit.estimates,
    objective: fit.objective, r2: fit.r2, points: fit.points, degreesOfFreedom: fit.degreesOfFreedom, confidence: fit.confidence, scatter: fit.scatter,
    ...(fit.delta === undefined ? {} : { huberDelta: fit.delta }),
    ...(fit.form === 'power' ? {} : { bootstrap: fitting.bootstrap ?? 1000, seed: fitting.seed ?? 0 }),
    ...(fit.extrapolation === undefined ? {} : { extrapolation: fit.extrapolation }),
    range: fit.range,
    warnings: fit.warnings.map((message, index) => ({ code: fit.codes[index], message })),
    predictions: answer.predictions.map(({ text, at, prediction }) => ({ asked: text, ...at, ...prediction })),
    needed: answer.needs.map(({ text, loss, at, needed }) => ({ asked: text, loss, ...(Object.keys(at).length === 0 ? {} : { given: at }), ...(needed === 'unreachable' ? { unreachable: true } : needed) })),
    heldOut: answer.heldOut.map(({ row, predicted, error }) => ({ line: row.line, ...without(row.observation, 'label'), predicted: predicted.loss, lower: predicted.runLower, upper: predicted.runUpper, error })),
  };
}

function without<T extends object>(object: T, key: keyof T): Partial<T> {
  return Object.fromEntries(Object.entries(object).filter(([name]) => name !== key)) as Partial<T>;
}

/** Every run with what the law says of it. residual is ln measured - ln predicted. */
export function fitCsv({ points, law }: FitAnswer): string {
  const rows = [...points.fitted.map((row) => ({ ...row, held: false })), ...points.heldOut.map((row) => ({ ...row, held: true }))].sort((a, b) => a.line - b.line);
  const lines = rows.map(({ line, observation, held }) => {
    const predicted = lossOf(law, observation);
    const { parameters, tokens, flops, loss } = observation;
    return [line, parameters ?? '', tokens ?? '', flops ?? '', loss, predicted, Math.log(loss / predicted), held].map(String).join(',');
  });
  return ['line,params,tokens,flops,loss,predicted,residual,heldOut', ...lines, ''].join('\n');
}

export function fitChart({ source, points, fit, law, predictions }: FitAnswer): Chart {
  return chartOf({
    title: source.split(/[\\/]/).at(-1) ?? source, law,
    note: `${String(fit.points)} runs, R\u00b2 ${formatNumber(fit.r2, 4)}`,
    fitted: points.fitted.map(({ observation }) => observation), heldOut: points.heldOut.map(({ observation }) => observation),
    targets: predictions.map(({ text, at, prediction }) => ({ ...at, name: text, loss: prediction.loss, lower: prediction.lower, upper: prediction.upper })),
    interval: (at: At) => {
      const { lower, upper } = predict(fit, at);
      return { lower, upper };
    },
  });
}
