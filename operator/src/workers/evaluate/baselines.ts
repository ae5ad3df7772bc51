// Baselines that read lengths alone. A model that does not beat them has learned no more than length.
import type { Comparison, Margin } from './comparison.ts';

/** The longer candidate wins. */
export function longerWins(comparisons: readonly Comparison[]): Margin[] {
  return comparisons.map(({ cluster, chosen, rejected }) => ({ cluster, margin: chosen.length - rejected.length }));
}

/** The candidate whose length is nearer to the reference's, as a ratio, wins. */
export function nearestLengthWins(comparisons: readonly Comparison[]): Margin[] {
  return comparisons.map(({ cluster, reference, chosen, rejected }) => {
    const distance = (text: string): number => Math.abs(Math.log1p(text.length) - Math.log1p(reference.response.length));
    return { cluster, margin: distance(rejected) - distance(chosen) };
  });
}
