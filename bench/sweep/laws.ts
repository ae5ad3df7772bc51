// The laws of a measured grid, the largest size held out, and the stress test of the method.
import { fitLaw } from '../../operator/src/sweep/fit/fit.ts';
import { frontier } from '../../operator/src/sweep/fit/frontier.ts';
import { predict } from '../../operator/src/sweep/fit/predict.ts';
import { stress } from '../../operator/src/sweep/fit/stress.ts';
import type { Stress } from '../../operator/src/sweep/fit/stress.ts';
import type { Fit, Observation } from '../../operator/src/sweep/fit/types.ts';
import type { PointRecord } from '../../operator/src/sweep/point.ts';

export type Policies = 'seen' | 'unseen';

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

/** A point that was trained to its end, as the laws see it. */
export interface Seen extends Required<Pick<Observation, 'parameters' | 'tokens' | 'flops' | 'loss' | 'label'>> {
  readonly steps: number;
  readonly seed: number;
}

export const seenOf = (records: readonly PointRecord[], policies: Policies): readonly Seen[] => records.flatMap((record) => {
  const loss = policies === 'seen' ? record.valLoss : record.unseenLoss;
  if (record.outcome !== 'Succeeded' || loss === undefined) return [];
  const { parametersWithoutEmbedding: parameters, tokens, steps, naiveFlops: flops, point: { seed }, id: label } = record;
  return [{ parameters, tokens, flops, loss, label, steps, seed }];
}).sort((a, b) => a.parameters - b.parameters || a.tokens - b.tokens || a.seed - b.seed);

export const lawsOf = (seen: readonly Seen[]): Laws => {
  const most = Math.max(...seen.map(({ steps }) => steps));
  const whole = seen.filter(({ steps }) => steps === most);
  const byCompute = frontierOf(seen);
  const [ofSize, ofCompute] = [fitLaw(whole, { form: 'power', axis: 'parameters' }), fitLaw(byCompute, { form: 'power', axis: 'flops' })];
  const heldout = heldOutOf(whole);
  return {
    fit_params: resultOf(ofSize), fit_compute: resultOf(ofCompute), fit_joint: attempt(() => resultOf(fitLaw(seen, { form: 'joint' }))), heldout,
    heldout_error: heldout.reduce((sum, { measured, predicted }) => sum + Math.abs(predicted / measured - 1), 0) / heldout.length,
    heldout_error_compute: ofCompute.extrapolation?.error,
    stress: { parameters: stress(seen, { form: 'power', axis: 'parameters' }), compute: stress(byCompute, { form: 'power', axis: 'flops' }) },
  };
};

/** The lowest loss for each amount of compute: a size with growing budgets is one curve, of runs that each ended with their cooldown. */
export const frontierOf = (seen: readonly Seen[]): readonly Observation[] => {
  const curves = [...Map.groupBy(seen, ({ parameters, seed }) => `${parameters}/${seed}`)].map(([label, runs]) => ({
    label, parameters: runs[0]?.parameters ?? 0, points: runs.map(({ flops, loss }) => ({ flops, loss })),
  }));
  return frontier(curves, curves.length);
};

const heldOutOf = (whole: readonly Seen[]): readonly HeldOut[] => {
  const largest = Math.max(...whole.map(({ parameters }) => parameters));
  const law = fitLaw(whole.filter(({ parameters }) => parameters < largest), { form: 'power', axis: 'parameters' });
  return whole.filter(({ parameters }) => parameters === largest).map(({ parameters, loss: measured }) => {
    const { loss: predicted, runLower: lower, runUpper: upper } = predict(law, { parameters });
    return { parameters, measured, predicted, lower, upper };
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
