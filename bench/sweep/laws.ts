// The laws of a measured grid, the largest size held out, and the stress test of the method.
import type { SweepSpec } from '../../operator/src/api/sweep.ts';
import { fitLaw } from '../../operator/src/sweep/fit/fit.ts';
import { predict } from '../../operator/src/sweep/fit/predict.ts';
import { stress } from '../../operator/src/sweep/fit/stress.ts';
import type { Stress } from '../../operator/src/sweep/fit/stress.ts';
import type { Fit, Observation } from '../../operator/src/sweep/fit/types.ts';
import { observationsFor } from '../../operator/src/sweep/laws.ts';
import type { PointRecord } from '../../operator/src/sweep/point.ts';

const SIZE = { form: 'power', axis: 'parameters' } as const;
const COMPUTE = { form: 'power', axis: 'flops' } as const;
const JOINT = { form: 'joint' } as const;

/** What is written of a fit: everything but residuals and samples. */
export interface LawResult {
  readonly form: Fit['form'];
  readonly axis?: Fit['axis'];
  readonly estimates: Fit['estimates'];
  readonly r2: number;
  readonly objective: number;
  readonly points: number;
  readonly scatter: number;
  readonly warnings: readonly string[];
}

export interface HeldOut {
  readonly parameters: number;
  readonly measured: number;
  readonly predicted: number;
  /** Of one run there, by the law fitted to the smaller sizes. */
  readonly lower: number;
  readonly upper: number;
}

export interface Laws {
  readonly fit_params: LawResult;
  readonly fit_compute: LawResult;
  readonly fit_joint: LawResult | string;
  /** Largest budget of the largest size, by the law of the others. */
  readonly heldout: readonly HeldOut[];
  /** Mean of |predicted / measured - 1|. */
  readonly heldout_error: number;
  readonly heldout_error_compute: number | undefined;
  readonly stress: { readonly parameters: Stress; readonly compute: Stress };
}

type FitSpec = SweepSpec['fit'];

/** The laws that status.fits of the sweep has, fitted to the same observations. */
export const lawsOf = (records: readonly PointRecord[], fit: FitSpec): Laws => {
  const bySize = observationsFor(records, fit, SIZE);
  const everything = observationsFor(records, fit, JOINT);
  const byCompute = observationsFor(records, fit, COMPUTE);
  const [ofSize, ofCompute] = [fitLaw(bySize, SIZE), fitLaw(byCompute, COMPUTE)];
  const heldout = heldOutOf(bySize);
  return {
    fit_params: resultOf(ofSize), fit_compute: resultOf(ofCompute), heldout,
    fit_joint: attempt(() => resultOf(fitLaw(everything, JOINT))),
    heldout_error: heldout.reduce((sum, { measured, predicted }) => sum + Math.abs(predicted / measured - 1), 0) / heldout.length,
    heldout_error_compute: ofCompute.extrapolation?.error,
    stress: {
      parameters: { extremes: stress(bySize, SIZE).extremes, proportional: stress(everything, SIZE).proportional },
      compute: { extremes: stress(byCompute, COMPUTE).extremes, proportional: stress(everything, COMPUTE).proportional },
    },
  };
};

const heldOutOf = (bySize: readonly Observation[]): readonly HeldOut[] => {
  const sizeOf = ({ parameters = 0 }: Observation): number => parameters;
  const largest = Math.max(...bySize.map(sizeOf));
  const law = fitLaw(bySize.filter((one) => sizeOf(one) < largest), SIZE);
  return bySize.filter((one) => sizeOf(one) === largest).map(({ loss: measured }) => {
    const { loss: predicted, runLower: lower, runUpper: upper } = predict(law, { parameters: largest });
    return { parameters: largest, measured, predicted, lower, upper };
  });
};

const resultOf = ({ form, axis, estimates, r2, objective, points, scatter, warnings }: Fit): LawResult =>
  ({ form, ...(axis === undefined ? {} : { axis }), estimates, r2, objective, points, scatter, warnings });

/** What work gives, or why it cannot: no law is a result too. */
export const attempt = <T>(work: () => T): T | string => {
  try {
    return work();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};
