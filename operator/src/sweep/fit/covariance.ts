import { Matrix, pseudoInverse } from 'ml-matrix';
import { evaluate, newLocal } from './law.ts';
import type { Solution } from './sums.ts';

/**
 * Asymptotic covariance of (ln E, ln coefficients.., exponents..) of a sum law, as of an M-estimator. A delta far
 * below the scatter leaves too few points inside it to count, so they are counted within half of the scatter.
 * An E at 0 has a row of zeros.
 */
export function covarianceOf(solution: Solution, residuals: readonly number[], degreesOfFreedom: number): number[][] {
  const { problem, theta } = solution;
  const terms = problem.design.x.length;
  const size = theta.length;
  const width = Math.max(problem.delta, 0.5 * robustScatter(residuals, degreesOfFreedom));
  const local = newLocal(size);
  evaluate({ ...problem, delta: Number.MAX_VALUE }, theta, local);
  const information = Matrix.from1DArray(size, size, Array.from(local.majorant));
  const pull = residuals.reduce((sum, r) => sum + Math.min(Math.abs(r), width) ** 2, 0) / degreesOfFreedom;
  const inside = Math.max(1, residuals.filter((r) => Math.abs(r) <= width).length) / residuals.length;
  const inverse = centredToNatural(pseudoInverse(information, 1e-14).mul(pull / inside ** 2), solution);
  if (problem.offset) return inverse.to2DArray();
  return [new Array<number>(2 * terms + 1).fill(0), ...inverse.to2DArray().map((row) => [0, ...row])];
}

/** ln coefficient = c + a x centre + unit. */
function centredToNatural(covariance: Matrix, solution: Solution): Matrix {
  const { centre } = solution.problem.design;
  const head = solution.problem.offset ? 1 : 0;
  const turn = Matrix.eye(covariance.rows);
  centre.forEach((middle, k) => turn.set(head + k, head + centre.length + k, middle));
  return turn.mmul(covariance).mmul(turn.transpose());
}

/** Scatter that outliers do not move: from the median of those residuals that the fit does not force to 0. */
export function robustScatter(residuals: readonly number[], degreesOfFreedom: number): number {
  const sizes = residuals.map(Math.abs).sort((left, right) => right - left).slice(0, Math.max(1, degreesOfFreedom));
  return 1.4826 * sizes[Math.floor((sizes.length - 1) / 2)]!;
}
