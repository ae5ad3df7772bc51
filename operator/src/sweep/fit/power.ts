import { mean, squares } from './numbers.ts';

/** ln L = ln b + a ln X by ordinary least squares. */
export interface Line {
  readonly intercept: number;
  readonly slope: number;
  readonly residuals: readonly number[];
  /** Sum of squares of the residuals. */
  readonly objective: number;
  readonly degreesOfFreedom: number;
  /** Of (intercept, slope). */
  readonly covariance: readonly (readonly number[])[];
}

/** The power law L = b X^a, the paper's form (section 4.4), from ln X and ln L. */
export function fitPower(lnX: readonly number[], lnLoss: readonly number[]): Line {
  const centre = mean(lnX);
  const height = mean(lnLoss);
  const spread = squares(lnX);
  const slope = lnX.reduce((sum, x, i) => sum + (x - centre) * (lnLoss[i]! - height), 0) / spread;
  const residuals = lnX.map((x, i) => lnLoss[i]! - height - slope * (x - centre));
  const objective = residuals.reduce((sum, r) => sum + r * r, 0);
  const degreesOfFreedom = lnX.length - 2;
  const variance = degreesOfFreedom > 0 ? objective / degreesOfFreedom : 0;
  const ofSlope = variance / spread;
  const covariance = [[variance / lnX.length + centre ** 2 * ofSlope, -centre * ofSlope], [-centre * ofSlope, ofSlope]];
  return { intercept: height - slope * centre, slope, residuals, objective, degreesOfFreedom, covariance };
}
