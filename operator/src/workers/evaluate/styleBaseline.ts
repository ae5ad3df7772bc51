// The baseline every accuracy is read against: a logistic model of style and shared words, fitted on pairs of other prompts.
import { Matrix, solve } from 'ml-matrix';
import { below as drawBelow } from '../generate/chance.ts';
import type { Comparison, Margin } from './comparison.ts';
import { nearness, profile, type Profile } from './features.ts';

const STEPS = 25;
const RIDGE = 1e-3;
const FLAT = 1e-9;

/** `folds`: each comparison is scored by a model fitted on the other folds. A prompt is in one fold only. */
export interface Folds { readonly folds: number; readonly seed: number }

/**
 * Margins of a ridge logistic regression, without intercept, on the chosen's features minus the rejected's (trainer/polar/baseline.py has
 * the same model with unigrams on top). A fold with nothing to be fitted on gives margins of 0.
 */
export function styleWins(comparisons: readonly Comparison[], { folds, seed }: Folds): Margin[] {
  const rows = differences(comparisons);
  const fold = comparisons.map(({ cluster }) => drawBelow(folds, `fold ${String(seed)} ${cluster}`));
  const weights = Array.from({ length: folds }, (_, own) => fit(rows.filter((__, at) => fold[at] !== own)));
  return comparisons.map(({ cluster }, at) => ({ cluster, margin: dot(rows[at] ?? [], weights[fold[at] ?? 0] ?? []) }));
}

function differences(comparisons: readonly Comparison[]): number[][] {
  const known = new Map<string, Profile>();
  const profileOf = (text: string): Profile => {
    const found = known.get(text) ?? profile(text);
    known.set(text, found);
    return found;
  };
  return comparisons.map(({ reference, chosen, rejected }) => {
    const of = (text: string): number[] => nearness(profileOf(reference.response), profileOf(text));
    const worse = of(rejected);
    return of(chosen).map((value, at) => value - (worse[at] ?? 0));
  });
}

const dot = (row: readonly number[], weights: readonly number[]): number => weights.reduce((sum, weight, at) => sum + weight * (row[at] ?? 0), 0);

/** Newton's method for the ridge logistic loss of `rows x weights > 0`, on columns scaled to a root mean square of 1; weights of the unscaled columns. */
function fit(rows: readonly (readonly number[])[]): number[] {
  const width = rows[0]?.length ?? 0;
  if (width === 0) return [];
  const scale = Array.from({ length: width }, (_, column) => Math.max(FLAT, Math.sqrt(rows.reduce((sum, row) => sum + (row[column] ?? 0) ** 2, 0) / rows.length)));
  const x = new Matrix(rows.map((row) => row.map((value, column) => value / (scale[column] ?? 1))));
  const weights = Matrix.zeros(width, 1);
  for (let step = 0; step < STEPS; step += 1) {
    const change = newton(x, weights);
    weights.sub(change);
    if (change.to1DArray().every((value) => Math.abs(value) < 1e-6)) break;
  }
  return weights.to1DArray().map((weight, column) => weight / (scale[column] ?? 1));
}

function newton(x: Matrix, weights: Matrix): Matrix {
  const wrong = x.mmul(weights).to1DArray().map((margin) => 1 / (1 + Math.exp(Math.max(-30, Math.min(30, margin)))));
  const transposed = x.transpose();
  const gradient = transposed.mmul(Matrix.columnVector(wrong)).mul(-1 / x.rows).add(Matrix.mul(weights, RIDGE));
  const curvature = transposed.mmul(x.clone().mulColumnVector(wrong.map((one) => one * (1 - one)))).mul(1 / x.rows).add(Matrix.eye(x.columns, x.columns, RIDGE));
  return solve(curvature, gradient);
}
