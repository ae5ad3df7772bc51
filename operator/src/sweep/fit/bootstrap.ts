import { seeded, studentFactor } from './random.ts';
import { continued, natural } from './sums.ts';
import type { Problem } from './law.ts';
import type { Random } from './random.ts';
import type { Solution } from './sums.ts';

/** From this many points per parameter the points themselves are drawn; below, residuals are. */
const POINTS_PER_PARAMETER = 10;

/**
 * Parameter vectors [E, coefficients.., exponents..] refitted to resamples. With many points these are drawn with
 * replacement, which asks nothing of the noise. With few, such draws lose the points that pin the law: there every
 * fitted loss gets a residual at random instead, of those that the fit does not force to 0, smoothed, with either
 * sign, and each resample's scale is drawn from what the degrees of freedom leave open (Student's factor).
 */
export function bootstrap(solution: Solution, fitted: { readonly residuals: readonly number[]; readonly degreesOfFreedom: number }, options: { readonly resamples: number; readonly seed: number }): number[][] {
  const random = seeded(options.seed);
  const points = fitted.residuals.length;
  const many = points >= POINTS_PER_PARAMETER * (points - fitted.degreesOfFreedom);
  const problem: Problem = { ...solution.problem, offset: true };
  const start = solution.problem.offset ? solution.theta : Float64Array.from([-4, ...solution.theta]);
  const starts = [start, ...solution.others.filter((other) => other.value < 1.5 * solution.value).slice(0, 2).map((other) => other.theta)];
  const next = many ? drawPoints(problem, random) : drawResiduals(problem, fitted, random);
  return Array.from({ length: options.resamples }, () => {
    const resample = next();
    let best = continued(resample, starts[0]!);
    for (const other of starts.slice(1)) {
      const found = continued(resample, other);
      if (found.value < best.value) best = found;
    }
    return natural(solution, resample, best.theta);
  });
}

function drawPoints(problem: Problem, random: Random): () => Problem {
  const points = problem.design.y.length;
  return () => {
    const weights = new Float64Array(points);
    for (let i = 0; i < points; i++) weights[random.index(points)]! += 1;
    return { ...problem, weights };
  };
}

function drawResiduals(problem: Problem, fitted: { readonly residuals: readonly number[]; readonly degreesOfFreedom: number }, random: Random): () => Problem {
  const degrees = fitted.degreesOfFreedom;
  const sizes = fitted.residuals.map(Math.abs).sort((left, right) => right - left).slice(0, degrees);
  const rms = Math.sqrt(sizes.reduce((sum, size) => sum + size * size, 0) / degrees);
  const bandwidth = 1.06 * degrees ** -0.2;
  const shrink = 1 / Math.sqrt(1 + bandwidth ** 2);
  const { design } = problem;
  const law = design.y.map((y, i) => y - fitted.residuals[i]!);
  return () => {
    const scale = shrink * studentFactor(random, degrees);
    const y = law.map((value) => value + scale * (random.sign() * sizes[random.index(degrees)]! + bandwidth * rms * random.normal()));
    return { ...problem, design: { ...design, y } };
  };
}
