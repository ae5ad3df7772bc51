// Suite 7: is the score a log ratio of densities, as the paper's Eq. 4-6 have it? For policies whose likelihoods are known.
import { excerpt, scoreAll, type Answer, type Score } from './comparison.ts';
import { BOOTSTRAP, estimate, spearman, spearmanEstimate, type Bootstrap } from './statistics.ts';
import type { Wrapper } from '../serve/encode.ts';
import { above, judge, type SuiteResult } from './verdict.ts';

/** A candidate drawn from `drawnFrom`, and its exact log-likelihoods (nats) under the reference's policy and under that one. */
export interface DensityItem {
  readonly cluster: string;
  readonly prompt: string;
  readonly reference: Answer;
  readonly candidate: string;
  readonly wrapper: Wrapper;
  readonly policies: { readonly reference: string; readonly drawnFrom: string };
  readonly logLikelihood: { readonly reference: number; readonly drawnFrom: number };
}

/** Thresholds of rank correlations, of single candidates and of pairs of policies. */
export interface DensityOptions { readonly ratio: number; readonly divergence: number; readonly bootstrap?: Bootstrap }
export interface DensityRow { readonly prompt: string; readonly reference: string; readonly candidate: string; readonly policies: DensityItem['policies']; readonly ratio: number; readonly score: number }
/** `divergence`: the mean log-likelihood of candidates under the policy that made them less that under the reference's, an estimate of KL(drawnFrom || reference) in nats. */
export interface DivergencePoint { readonly policies: DensityItem['policies']; readonly divergence: number; readonly reward: number; readonly n: number }

interface Scored extends DensityItem { readonly x: number; readonly y: number }

/**
 * Rank correlation of score and log ratio over the candidates that other policies made, and of mean score and minus the divergence over pairs
 * of policies (the reference's own policy against itself is at 0). Pass: both above their thresholds.
 */
export async function densitySuite(score: Score, items: readonly DensityItem[], { ratio, divergence, bootstrap = BOOTSTRAP }: DensityOptions): Promise<SuiteResult<DensityRow, { readonly byPolicyPair: readonly DivergencePoint[] }>> {
  const scores = await scoreAll(score, items.map((item) => ({ ...item, candidates: [item.candidate] })));
  const scored = items.map((item, at): Scored => ({ ...item, x: item.logLikelihood.reference - item.logLikelihood.drawnFrom, y: scores[at]?.[0] ?? NaN }));
  const byRatio = spearmanEstimate(scored.filter(({ policies }) => policies.reference !== policies.drawnFrom), bootstrap);
  const byDivergence = estimate(scored, (drawn) => spearman(pointsOf(drawn).map((point) => ({ x: -point.divergence, y: point.reward }))), bootstrap);
  const rows = scored.map(({ prompt, reference, candidate, policies, x, y }) => ({ prompt: excerpt(prompt), reference: excerpt(reference.response), candidate: excerpt(candidate), policies, ratio: x, score: y }));
  return {
    suite: 'density', numbers: { ratioCorrelation: byRatio, divergenceCorrelation: byDivergence }, rows, tables: { byPolicyPair: pointsOf(scored) },
    verdict: judge([above('rank correlation with the log ratio', byRatio, ratio), above('rank correlation with the divergence', byDivergence, divergence)]),
  };
}

function pointsOf(scored: readonly Scored[]): DivergencePoint[] {
  const groups = [...Map.groupBy(scored, ({ policies }) => JSON.stringify([policies.reference, policies.drawnFrom])).values()];
  const mean = (own: readonly Scored[], of: (one: Scored) => number): number => own.reduce((sum, one) => sum + of(one), 0) / own.length;
  return groups.flatMap((own) => own.slice(0, 1).map(({ policies }) => ({ policies, divergence: -mean(own, ({ x }) => x), reward: mean(own, ({ y }) => y), n: own.length })));
}
