import { descend } from './newton.ts';
import { NOTHING, startingPoints } from './start.ts';
import { residuals } from './law.ts';
import { mean } from './numbers.ts';
import type { Columns } from './columns.ts';
import type { Design, Problem } from './law.ts';
import type { Box, Minimum } from './newton.ts';

/** A fitted sum law. Loss is measured in units of its geometric mean, ln X from its own mean. */
export interface Solution {
  readonly problem: Problem;
  readonly theta: Float64Array;
  readonly value: number;
  /** Other minima that the starts ran into, best first. */
  readonly others: readonly Minimum[];
  /** ln of the unit of loss. */
  readonly unit: number;
}

/** No exponent above it is told apart from a step. */
export const STEEPEST = 5;
const STARTS = 12;
/** Where descents from each start begin: smooth, and near the kinks. */
const COARSEST = [0.1, 0.003] as const;
/** Below this ln E (in units of the mean loss) a law without E is tried. */
const GONE = -8;
/** ln of the least E, in the same unit: it stands for 0. */
const FLOOR = -14;

/** E + b X^-a (one column) or E + A N^-alpha + B D^-beta (two), by Huber's loss of residuals of ln loss: the best of many starts. */
export function fitSum(columns: Columns, delta: number): Solution {
  const { design, unit } = designOf(columns);
  const coarse: Problem = { design, delta: Math.max(delta, 0.1), offset: true };
  const minima = startingPoints(coarse, STARTS)
    .flatMap((start) => COARSEST.map((coarsest) => continued({ ...coarse, delta }, start.theta, coarsest)))
    .sort((left, right) => left.value - right.value);
  const best = minima[0]!;
  const bare = withoutOffset({ ...coarse, delta }, best);
  const others = distinct(minima, best);
  if (bare !== undefined) return { ...bare, others: others.filter((other) => other.theta[0]! > GONE), unit };
  return { problem: { ...coarse, delta }, ...best, others, unit };
}

function designOf(columns: Columns): { design: Design; unit: number } {
  const logs = columns.x.map((column) => column.map(Math.log));
  const centre = logs.map((column) => mean(column));
  const lnLoss = columns.loss.map(Math.log);
  const unit = mean(lnLoss);
  const x = logs.map((column, k) => Float64Array.from(column, (value) => value - centre[k]!));
  return { design: { x, y: Float64Array.from(lnLoss, (value) => value - unit), centre }, unit };
}

export function boxOf(problem: Problem): Box {
  const terms = problem.design.x.length;
  const head = problem.offset ? 1 : 0;
  const size = head + 2 * terms;
  const fill = (e: number, c: number, a: number): Float64Array => Float64Array.from({ length: size }, (_, p) => (p < head ? e : p < head + terms ? c : a));
  return { lower: fill(FLOOR, NOTHING, 0), upper: fill(-NOTHING, -NOTHING, STEEPEST) };
}

/** Descends at coarse deltas first, each ten times smaller than the one before: far from the optimum a small delta has hardly any curvature. */
export function continued(problem: Problem, start: Float64Array, coarsest = 0.01): Minimum {
  const box = boxOf(problem);
  let delta = Math.max(problem.delta, coarsest);
  for (let theta = start; ;) {
    const found = descend({ ...problem, delta }, theta, box);
    if (delta <= problem.delta) return found;
    theta = found.theta;
    delta = Math.max(problem.delta, delta / 10);
  }
}

/** The fit with E at 0, when that is no worse than the best with E free. */
function withoutOffset(problem: Problem, best: Minimum): { problem: Problem; theta: Float64Array; value: number } | undefined {
  if (best.theta[0]! > GONE) return undefined;
  const bare: Problem = { ...problem, offset: false };
  const found = continued(bare, best.theta.slice(1), 0.1);
  return found.value <= best.value * (1 + 1e-6) ? { problem: bare, ...found } : undefined;
}

function distinct(minima: readonly Minimum[], best: Minimum): Minimum[] {
  const chosen: Minimum[] = [best];
  for (const minimum of minima) {
    const far = (other: Minimum): boolean => other.theta.some((value, p) => Math.abs(value - minimum.theta[p]!) > 0.05);
    if (chosen.every(far)) chosen.push(minimum);
  }
  return chosen.slice(1);
}

/** [E, coefficients.., exponents..] in the units of the observations. */
export function natural(solution: Pick<Solution, 'unit'>, problem: Problem, theta: Float64Array): number[] {
  const terms = problem.design.x.length;
  const head = problem.offset ? 1 : 0;
  const constant = problem.offset && theta[0]! > FLOOR + 0.01 ? Math.exp(theta[0]! + solution.unit) : 0;
  const exponents = Array.from(theta.subarray(head + terms));
  const coefficients = exponents.map((a, k) => Math.exp(theta[head + k]! + a * problem.design.centre[k]! + solution.unit));
  return [constant, ...coefficients, ...exponents];
}

export function residualsOf(solution: Solution): number[] {
  return Array.from(residuals(solution.problem, solution.theta));
}
