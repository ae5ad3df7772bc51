// Several references for one prompt: one score for each, and one for all.

/**
 * mean: the average. max: the closest reference counts. softmax: the average weighted by exp(score), between the two; adding a constant
 * to all scores adds it to the result, as with the others.
 */
export type Combine = 'mean' | 'max' | 'softmax';
export const COMBINES: readonly Combine[] = ['mean', 'max', 'softmax'];

/** One score of the scores under each reference, at least one. */
export function combine(scores: readonly number[], how: Combine): number {
  const highest = scores.reduce((most, score) => Math.max(most, score), -Infinity);
  if (how === 'max') return highest;
  const weights = how === 'mean' ? scores.map(() => 1) : scores.map((score) => Math.exp(score - highest));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return scores.reduce((sum, score, at) => sum + score * ((weights[at] ?? 0) / total), 0);
}
