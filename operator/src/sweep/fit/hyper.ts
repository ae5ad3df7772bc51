import { Matrix, QrDecomposition, SingularValueDecomposition, inverse } from 'ml-matrix';
import { FitError } from './error.ts';
import { squares, studentQuantile } from './numbers.ts';
import type { Estimate } from './types.ts';

/** What the laws of the learning rate and the batch depend on: counts (the laws take Mi parameters and Gi tokens). */
export interface Scale {
  readonly parameters: number;
  /** Tokens of the base model's pre-training; the batch law leaves it out. */
  readonly pretrainedTokens?: number;
  readonly tokens: number;
}

type Variable = keyof Scale;

/** value = coefficient x product of variable^exponent, with parameters in 2^20 and tokens in 2^30. */
export interface HyperLaw {
  readonly coefficient: number;
  readonly exponents: Readonly<Partial<Record<Variable, number>>>;
}

const MEBI = 2 ** 20;
const GIBI = 2 ** 30;
const UNITS: Record<Variable, number> = { parameters: MEBI, pretrainedTokens: GIBI, tokens: GIBI };
const VARIABLES: readonly Variable[] = ['parameters', 'pretrainedTokens', 'tokens'];

/** The paper's law of the learning rate (App. D.1.2). */
export const PAPER_LEARNING_RATE: HyperLaw = { coefficient: 0.0002306, exponents: { parameters: 0.01125, pretrainedTokens: -0.66587, tokens: 0.33916 } };

/** The paper's law of the batch, in triplets (App. D.1.2). */
export const PAPER_BATCH: HyperLaw = { coefficient: 31.9032, exponents: { parameters: 0.06944, tokens: 0.52997 } };

/** What a law gives at a scale. @throws FitError naming the variable that the law needs and the scale lacks */
export function hyperLawAt(law: HyperLaw, scale: Scale): number {
  let value = law.coefficient;
  for (const [name, exponent] of Object.entries(law.exponents) as [Variable, number][]) value *= (positive(scale[name], `scale.${name}`) / UNITS[name]) ** exponent;
  return value;
}

/** A law refitted to optima: its numbers with t intervals (95 %), and the variables that did not vary and are left out. */
export interface HyperFit {
  readonly law: HyperLaw;
  /** coefficient, then the exponents by the names of their variables. */
  readonly estimates: readonly Estimate[];
  readonly r2: number;
  readonly points: number;
  readonly leftOut: readonly Variable[];
  /** ln measured - ln law. */
  readonly residuals: readonly number[];
}

/**
 * Refits the paper's form to optima found at several scales (learning rates or batches), by least squares in logs.
 * @throws FitError when there are too few optima for the variables that vary, or they vary together
 */
export function refitHyperLaw(optima: readonly (Partial<Scale> & { readonly optimum: number })[]): HyperFit {
  const lnY = optima.map((point, i) => Math.log(positive(point.optimum, `optima[${i}].optimum`)));
  const columns = VARIABLES.map((name) => optima.map((point, i) => (point[name] === undefined ? 0 : Math.log(positive(point[name], `optima[${i}].${name}`) / UNITS[name]))));
  const used = VARIABLES.filter((_, k) => optima.length > 1 && squares(columns[k]!) > 1e-6 * optima.length);
  if (optima.length < used.length + 2) throw new FitError('optima', `at least ${used.length + 2} for the ${used.length} variables that vary`, String(optima.length));
  const rows = new Matrix(optima.map((_, i) => [1, ...used.map((name) => columns[VARIABLES.indexOf(name)]![i]!)]));
  if (new SingularValueDecomposition(rows).condition > 1e6) throw new FitError('optima', `${used.join(', ')} that vary independently`, 'variables that vary together');
  const right = Matrix.columnVector(lnY);
  const solution = new QrDecomposition(rows).solve(right);
  const residuals = Matrix.sub(right, rows.mmul(solution)).to1DArray();
  const objective = residuals.reduce((sum, r) => sum + r * r, 0);
  const degrees = optima.length - used.length - 1;
  const covariance = inverse(rows.transpose().mmul(rows)).mul(objective / degrees);
  const estimates = estimatesOf(solution.to1DArray(), covariance, { names: ['coefficient', ...used], t: studentQuantile(0.95, degrees) });
  const exponents = Object.fromEntries(used.map((name, k) => [name, estimates[k + 1]!.value]));
  const total = squares(lnY);
  return {
    law: { coefficient: estimates[0]!.value, exponents }, estimates, r2: total > 0 ? 1 - objective / total : 0, points: optima.length,
    leftOut: VARIABLES.filter((name) => !used.includes(name)), residuals,
  };
}

function estimatesOf(values: readonly number[], covariance: Matrix, from: { readonly names: readonly string[]; readonly t: number }): Estimate[] {
  return values.map((value, p) => {
    const error = Math.sqrt(covariance.get(p, p));
    const name = from.names[p]!;
    if (p > 0) return { name, value, standardError: error, lower: value - from.t * error, upper: value + from.t * error };
    const b = Math.exp(value);
    return { name, value: b, standardError: b * error, lower: Math.exp(value - from.t * error), upper: Math.exp(value + from.t * error) };
  });
}

function positive(value: number | undefined, path: string): number {
  if (value !== undefined && Number.isFinite(value) && value > 0) return value;
  throw new FitError(path, 'a finite number above 0', value === undefined ? 'nothing' : String(value));
}
