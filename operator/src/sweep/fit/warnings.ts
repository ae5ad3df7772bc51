import { solve, Matrix, inverse } from 'ml-matrix';
import { different } from './columns.ts';
import { robustScatter } from './covariance.ts';
import { mean, squares, studentPValue } from './numbers.ts';
import { STEEPEST } from './sums.ts';
import type { Bare } from './bare.ts';
import type { Columns } from './columns.ts';
import type { Axis, Extrapolation, Observation, WarningCode } from './types.ts';

export interface Warning {
  readonly code: WarningCode;
  readonly message: string;
}

export interface Evidence {
  readonly observations: readonly Observation[];
  readonly columns: Columns;
  readonly extrapolation: Extrapolation | undefined;
  /** Objectives of other minima. */
  readonly others: readonly number[];
}

type Check = (fit: Bare, evidence: Evidence) => readonly Warning[];

const PARAMETERS = { power: 2, offset: 3, joint: 5 } as const;
const WORDS: Record<Axis, string> = { parameters: 'sizes', tokens: 'tokens', flops: 'compute' };
/** An exponent below it is not told from 0. */
const FLAT = 1e-3;

/** What a reader of the numbers must know before believing them, most general first. */
export function warningsOf(fit: Bare, evidence: Evidence): readonly Warning[] {
  const checks: readonly Check[] = [noVariation, fewPoints, smallSpan, collinear, rising, offset, exponents, curvature, outliers, extrapolates, optima];
  return checks.flatMap((check) => check(fit, evidence));
}

const told = (holds: boolean, code: WarningCode, message: string): readonly Warning[] => (holds ? [{ code, message }] : []);

const flat = (columns: Columns): boolean => squares(columns.loss.map(Math.log)) < 1e-16 * columns.loss.length;

const noVariation: Check = (_, { columns }) => told(flat(columns), 'NoVariation', `the loss is ${columns.loss[0]} at every point: there is no law to see`);

const fewPoints: Check = (fit) => {
  const least = 2 * PARAMETERS[fit.form];
  return told(fit.points < least, 'TooFewPoints', `${fit.points} points for ${PARAMETERS[fit.form]} parameters: at least ${least} are wanted`);
};

const smallSpan: Check = (_, { columns }) => columns.axes.flatMap((axis, k) => {
  const sorted = different(columns.x[k]!);
  const ratio = sorted.at(-1)! / sorted[0]!;
  return told(ratio < 9.5, 'SpanTooSmall', `the ${WORDS[axis]} span a factor of ${ratio.toPrecision(3)}: an exponent wants at least 10`);
});

const collinear: Check = (fit, { columns }) => {
  if (fit.form !== 'joint') return [];
  const poor = columns.axes.filter((_, k) => different(columns.x[k]!).length < 3);
  const [n, d] = columns.x.map((column) => column.map(Math.log)) as [number[], number[]];
  const together = n.reduce((sum, value, i) => sum + (value - mean(n)) * (d[i]! - mean(d)), 0) / Math.sqrt(squares(n) * squares(d));
  return [
    ...poor.map((axis): Warning => ({ code: 'Collinear', message: `two values of ${axis} do not tell its exponent from E: at least three are needed` })),
    ...told(Math.abs(together) > 0.97, 'Collinear', `parameters and tokens grow together (correlation ${together.toFixed(3)} of their logs): their terms are not told apart`),
  ];
};

const rising: Check = (fit, { columns }) => {
  if (flat(columns) || fit.form === 'joint') return [];
  const x = columns.x[0]!.map(Math.log);
  const slope = x.reduce((sum, value, i) => sum + (value - mean(x)) * Math.log(columns.loss[i]!), 0);
  return told(slope > 0, 'LossRises', `the loss rises with ${fit.axis}: ${fit.form === 'offset' ? 'the form cannot, so it is rejected' : 'more of it would make the model worse'}`);
};

const offset: Check = (fit, { columns }) => {
  const E = fit.estimates[0]!;
  if (fit.form === 'power' || flat(columns)) return [];
  const least = 1e-3 * fit.range.loss.min;
  if (E.value < least) return told(true, 'OffsetAtZero', 'the best irreducible loss E is 0: the points show no floor, and the form adds nothing to one without it');
  return told(E.lower < least, 'OffsetNotResolved', `the interval of E reaches 0 (up to ${E.upper.toPrecision(4)}): the points do not tell whether there is a floor`);
};

const exponents: Check = (fit) => fit.estimates.slice(fit.form === 'power' ? 1 : (fit.estimates.length + 1) / 2).flatMap((estimate) => {
  const none = fit.form === 'power' ? estimate.lower <= 0 && estimate.upper >= 0 : estimate.lower < FLAT;
  return [
    ...told(none, 'ExponentIncludesZero', `the interval of ${estimate.name} includes 0: the points do not show that the loss depends on it`),
    ...told(fit.form !== 'power' && estimate.value > STEEPEST - FLAT, 'FormRejected', `${estimate.name} is at its bound ${STEEPEST}: the points show a step, no power law`),
  ];
});

/** A square of ln X that explains residuals: the law bends otherwise than the points. */
const curvature: Check = (fit, { columns }) => columns.axes.flatMap((axis, k) => {
  const p = bendPValue(columns.x[k]!.map(Math.log), fit);
  const hint = fit.form === 'power' ? 'an offset may be missing' : 'the form is rejected there';
  return told(p < 0.01, 'Curvature', `residuals bend with ${axis} (p = ${p.toPrecision(2)}): ${hint}`);
});

function bendPValue(x: readonly number[], fit: Bare): number {
  const degrees = fit.points - 3;
  if (different(x.map(Math.exp)).length < 4 || degrees < 1 || fit.scatter < 1e-12) return 1;
  const centre = mean(x);
  const rows = new Matrix(x.map((value) => [1, value - centre, (value - centre) ** 2]));
  const right = Matrix.columnVector([...fit.residuals]);
  const coefficients = solve(rows, right);
  const left = Matrix.sub(right, rows.mmul(coefficients)).norm() ** 2;
  const variance = (left / degrees) * inverse(rows.transpose().mmul(rows)).get(2, 2);
  return variance > 0 ? studentPValue(coefficients.get(2, 0) / Math.sqrt(variance), degrees) : 1;
}

const outliers: Check = (fit, { observations }) => {
  const scale = robustScatter(fit.residuals, fit.degreesOfFreedom);
  if (fit.degreesOfFreedom < 4 || scale < 1e-9) return [];
  const far = fit.residuals.flatMap((r, i) => (Math.abs(r) > 5 * scale ? [observations[i]!.label ?? `point ${i + 1}`] : []));
  const names = far.slice(0, 5).join(', ') + (far.length > 5 ? ', ..' : '');
  return told(far.length > 0, 'Outliers', `${far.length} of ${fit.points} points lie over five times the usual scatter (${(100 * scale).toPrecision(2)} %) from the law: ${names}`);
};

const extrapolates: Check = (fit, { extrapolation }) => told(
  extrapolation !== undefined && extrapolation.error > Math.max(0.01, 3 * fit.scatter), 'ExtrapolatesBadly',
  `without the largest size the law misses it by ${(100 * (extrapolation?.error ?? 0)).toPrecision(2)} %, more than three times the scatter of ${(100 * fit.scatter).toPrecision(2)} %`,
);

const optima: Check = (fit, { others }) => {
  const rival = others.find((value) => value < 1.01 * fit.objective);
  return told(rival !== undefined && fit.objective > 1e-12, 'ManyOptima', 'another set of parameters fits within 1 % as well: take the intervals, not the values');
};
