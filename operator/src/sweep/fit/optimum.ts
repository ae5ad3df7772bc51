import { Matrix, QrDecomposition, inverse } from 'ml-matrix';
import { different } from './columns.ts';
import { FitError } from './error.ts';
import { ascending, mean, quantile } from './numbers.ts';
import { seeded, studentFactor } from './random.ts';

/** Where a polynomial of ln x has its lowest loss. */
export interface Optimum {
  readonly value: number;
  readonly loss: number;
  /** Of `value`, 95 %; absent when the polynomial goes through every point, so that nothing tells its error. */
  readonly lower?: number;
  readonly upper?: number;
  readonly degree: number;
  readonly r2: number;
  /** The lowest loss is at the smallest or largest x tried: the optimum lies beyond. */
  readonly atEdge: boolean;
  readonly warnings: readonly string[];
}

/** Settings tried and the losses they gave, everything else equal. */
export interface Trial {
  readonly value: number;
  readonly loss: number;
}

/** The learning rate with the lowest loss by a quartic of loss in ln rate (paper App. D.1.2, stage 1). @throws FitError with less than three rates */
export function learningRateOptimum(trials: readonly { readonly learningRate: number; readonly loss: number }[]): Optimum {
  return optimum(trials.map((trial) => ({ value: trial.learningRate, loss: trial.loss })), 4, 'learningRate');
}

/** The batch with the lowest loss by a quadratic of loss in ln batch (paper App. D.1.2, stage 2). @throws FitError with less than three batches */
export function batchOptimum(trials: readonly { readonly batch: number; readonly loss: number }[]): Optimum {
  return optimum(trials.map((trial) => ({ value: trial.batch, loss: trial.loss })), 2, 'batch');
}

interface Polynomial {
  readonly coefficients: readonly number[];
  readonly powers: Matrix;
  readonly objective: number;
}

const GRID = 400;
const DRAWS = 500;

function optimum(trials: readonly Trial[], wanted: number, name: string): Optimum {
  check(trials, name);
  const logs = trials.map((trial) => Math.log(trial.value));
  const [low, high] = [Math.min(...logs), Math.max(...logs)];
  const scaled = logs.map((x) => (2 * x - low - high) / (high - low));
  const degree = Math.min(wanted, different(trials.map((trial) => trial.value)).length - 1) >= wanted ? wanted : 2;
  const losses = trials.map((trial) => trial.loss);
  const fitted = polynomial(scaled, losses, degree);
  const found = lowestOf(fitted.coefficients);
  const value = (x: number): number => Math.exp((x * (high - low) + low + high) / 2);
  const total = losses.reduce((sum, loss) => sum + (loss - mean(losses)) ** 2, 0);
  const atEdge = Math.abs(found) > 1 - 1e-9;
  return {
    value: value(found), loss: evaluate(fitted.coefficients, found), degree, r2: total > 0 ? 1 - fitted.objective / total : 0, atEdge,
    ...interval(fitted, trials.length - degree - 1, value), warnings: warnings({ atEdge, degree, wanted, trials, name }),
  };
}

function check(trials: readonly Trial[], name: string): void {
  trials.forEach((trial, i) => {
    if (!(Number.isFinite(trial.value) && trial.value > 0)) throw new FitError(`trials[${i}].${name}`, 'a finite number above 0', String(trial.value));
    if (!Number.isFinite(trial.loss)) throw new FitError(`trials[${i}].loss`, 'a finite number', String(trial.loss));
  });
  const found = different(trials.map((trial) => trial.value)).length;
  if (found < 3) throw new FitError(`trials[].${name}`, 'at least 3 different values', String(found));
}

function polynomial(x: readonly number[], y: readonly number[], degree: number): Polynomial {
  const powers = new Matrix(x.map((value) => Array.from({ length: degree + 1 }, (_, p) => value ** p)));
  const right = Matrix.columnVector([...y]);
  const coefficients = new QrDecomposition(powers).solve(right);
  return { coefficients: coefficients.to1DArray(), powers, objective: Matrix.sub(right, powers.mmul(coefficients)).norm() ** 2 };
}

function evaluate(coefficients: readonly number[], x: number): number {
  return coefficients.reduceRight((sum, c) => sum * x + c, 0);
}

/** The lowest point within [-1, 1]: the best of a grid, then between its neighbours by thirds. */
function lowestOf(coefficients: readonly number[]): number {
  let best = -1;
  for (let i = 0; i <= GRID; i++) {
    const x = -1 + (2 * i) / GRID;
    if (evaluate(coefficients, x) < evaluate(coefficients, best)) best = x;
  }
  let [low, high] = [Math.max(-1, best - 2 / GRID), Math.min(1, best + 2 / GRID)];
  while (high - low > 1e-10) {
    const third = (high - low) / 3;
    if (evaluate(coefficients, low + third) <= evaluate(coefficients, high - third)) high -= third;
    else low += third;
  }
  return (low + high) / 2;
}

/** 95 % of the optima of polynomials drawn from Student's distribution of the coefficients. */
function interval(fitted: Polynomial, degrees: number, value: (x: number) => number): { lower?: number; upper?: number } {
  if (degrees < 1) return {};
  const random = seeded(0);
  const covariance = inverse(fitted.powers.transpose().mmul(fitted.powers)).mul(fitted.objective / degrees);
  const factor = lowerFactor(covariance);
  const optima = ascending(Array.from({ length: DRAWS }, () => {
    const scale = studentFactor(random, degrees);
    const normal = fitted.coefficients.map(() => scale * random.normal());
    return lowestOf(fitted.coefficients.map((c, p) => c + normal.reduce((sum, z, q) => sum + factor.get(p, q) * z, 0)));
  }));
  return { lower: value(quantile(optima, 0.025)), upper: value(quantile(optima, 0.975)) };
}

/** Cholesky's factor; a variance of 0 has a row of zeros. */
function lowerFactor(covariance: Matrix): Matrix {
  const size = covariance.rows;
  const factor = Matrix.zeros(size, size);
  for (let p = 0; p < size; p++) {
    for (let q = 0; q <= p; q++) {
      let rest = covariance.get(p, q);
      for (let k = 0; k < q; k++) rest -= factor.get(p, k) * factor.get(q, k);
      factor.set(p, q, p === q ? Math.sqrt(Math.max(0, rest)) : factor.get(q, q) > 0 ? rest / factor.get(q, q) : 0);
    }
  }
  return factor;
}

function warnings(of: { readonly atEdge: boolean; readonly degree: number; readonly wanted: number; readonly trials: readonly Trial[]; readonly name: string }): string[] {
  const told: string[] = [];
  if (of.atEdge) told.push(`the lowest loss is at the edge of what was tried: the best ${of.name} lies beyond it`);
  if (of.degree < of.wanted) told.push(`too few different values for a polynomial of degree ${of.wanted}: a quadratic is used`);
  if (of.trials.length <= of.degree + 1) told.push('the polynomial goes through every point: there is no interval');
  return told;
}
