import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { seeded, studentFactor } from './random.ts';
import type { Fit } from './types.ts';

/** Parameter vectors drawn from the covariance of a fit that has no samples: Student's distribution in log space. */
export function drawn(fit: Fit, count: number): number[][] {
  const random = seeded(0);
  const size = fit.estimates.length;
  const { eigenvectorMatrix, realEigenvalues } = new EigenvalueDecomposition(new Matrix(fit.covariance.map((row) => [...row])), { assumeSymmetric: true });
  const scales = realEigenvalues.map((value) => Math.sqrt(Math.max(0, value)));
  const logged = fit.form === 'power' ? 1 : (size + 1) / 2;
  return Array.from({ length: count }, () => {
    const factor = studentFactor(random, fit.degreesOfFreedom);
    const steps = scales.map((scale) => factor * scale * random.normal());
    return fit.estimates.map((estimate, p) => {
      const move = steps.reduce((sum, step, q) => sum + eigenvectorMatrix.get(p, q) * step, 0);
      return p < logged ? estimate.value * Math.exp(Math.max(-300, Math.min(300, move))) : estimate.value + move;
    });
  });
}
