import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import { nnls } from 'nnls';
import { valueAt } from './law.ts';
import type { Minimum } from './newton.ts';
import type { Problem } from './law.ts';

/** ln of what stands for a summand of 0: far below every loss. */
export const NOTHING = -30;

/**
 * Starting points by variable projection: given the exponents the law is linear, so its coefficients come from
 * non-negative least squares on relative errors; a grid over the exponents is scored by the objective, and the best
 * point of each basin of the grid is returned, best first.
 */
export function startingPoints(problem: Problem, atMost: number): Minimum[] {
  const { x } = problem.design;
  const exponents = grid(x.length === 1 ? 40 : 14);
  const powers = x.map((column) => exponents.map((a) => column.map((value) => Math.exp(-a * value))));
  const cells = x.length === 1 ? exponents.map((_, i) => [i]) : exponents.flatMap((_, i) => exponents.map((__, j) => [i, j]));
  const scored = cells.map((cell) => {
    const columns = cell.map((index, k) => powers[k]![index]!);
    const theta = linear(problem, columns, cell.map((index) => exponents[index]!));
    return { cell, theta, value: valueAt(problem, theta) };
  });
  scored.sort((left, right) => left.value - right.value);
  const chosen: typeof scored = [];
  for (const candidate of scored) {
    if (chosen.length >= atMost) break;
    if (chosen.every((other) => other.cell.some((index, k) => Math.abs(index - candidate.cell[k]!) > 2))) chosen.push(candidate);
  }
  return chosen;
}

/** Exponents from 0.01 to 4, evenly in their logs. */
function grid(count: number): number[] {
  return Array.from({ length: count }, (_, i) => 0.01 * 400 ** (i / (count - 1)));
}

/** The non-negative coefficients of the law whose exponents are given; equal shares (of a loss of 1) where they cannot be told. */
function linear(problem: Problem, columns: readonly Float64Array[], exponents: readonly number[]): Float64Array {
  const { y } = problem.design;
  const all = problem.offset ? [new Float64Array(y.length).fill(1), ...columns] : columns;
  const gram = Matrix.zeros(all.length, all.length);
  const right = new Float64Array(all.length);
  for (let i = 0; i < y.length; i++) {
    const relative = Math.exp(-y[i]!);
    const weight = problem.weights?.[i] ?? 1;
    for (let p = 0; p < all.length; p++) {
      const value = all[p]![i]! * relative;
      right[p]! += weight * value;
      for (let q = 0; q <= p; q++) gram.set(p, q, gram.get(p, q) + weight * value * all[q]![i]! * relative);
    }
  }
  const coefficients = projected(gram, right) ?? all.map(() => 1 / all.length);
  return Float64Array.from([...coefficients.map((value) => Math.max(NOTHING, Math.log(value))), ...exponents]);
}

/** min c'Gc - 2c'r over c >= 0, as least squares on the factor of G; undefined where the columns are too alike to tell. */
function projected(gram: Matrix, right: Float64Array): number[] | undefined {
  const size = gram.rows;
  const scale = Array.from({ length: size }, (_, p) => 1 / Math.sqrt(gram.get(p, p)));
  const unit = new Matrix(scale.map((s, p) => scale.map((t, q) => (p >= q ? gram.get(p, q) : gram.get(q, p)) * (s * t) + (p === q ? 1e-9 : 0))));
  const factor = new CholeskyDecomposition(unit).lowerTriangularMatrix;
  const target: number[] = [];
  for (let p = 0; p < size; p++) {
    let rest = right[p]! * scale[p]!;
    for (let q = 0; q < p; q++) rest -= factor.get(p, q) * target[q]!;
    target.push(rest / factor.get(p, p));
  }
  try {
    const { x } = nnls(factor.transpose(), target, { maxIterations: 200 });
    return scale.map((s, p) => x.get(p, 0) * s);
  } catch {
    return undefined;
  }
}
