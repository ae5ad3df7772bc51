// Numbers with n and 95 % intervals from a bootstrap that draws whole clusters (prompts): what is measured on one prompt is not independent.
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { rightness, type Margin } from './comparison.ts';

/** `n` counts what was measured, `clusters` the prompts it lies on. Value and interval are null when n is 0. */
export interface Estimate { readonly value: number | null; readonly lower: number | null; readonly upper: number | null; readonly n: number; readonly clusters: number }

/** Settings of the bootstrap: the same give the same intervals. */
export interface Bootstrap { readonly seed: number; readonly resamples: number }
export const BOOTSTRAP: Bootstrap = { seed: 20_250_705, resamples: 1000 };

const INTERVAL: readonly [number, number] = [0.025, 0.975];
const NOTHING: Estimate = { value: null, lower: null, upper: null, n: 0, clusters: 0 };
/** First draws of neighbouring seeds hardly differ. */
const DISCARDED = 256;

/** Whole numbers below a bound, the same for the same seed. */
export function drawer(seed: number): (bound: number) => number {
  const generator = xoroshiro128plus(Math.imul(seed + 1, 0x9e3779b1) | 0);
  for (let i = 0; i < DISCARDED; i += 1) uniformInt(generator, 0, 1);
  return (bound) => uniformInt(generator, 0, bound - 1);
}

/**
 * A statistic of clustered items with its percentile interval: each resample draws as many clusters as there are, with replacement.
 * Resamples on which the statistic is not finite are left out.
 */
export function estimate<T extends { readonly cluster: string }>(items: readonly T[], statistic: (items: readonly T[]) => number, { seed, resamples }: Bootstrap = BOOTSTRAP): Estimate {
  if (items.length === 0) return NOTHING;
  const clusters = clustersOf(items);
  const draw = drawer(seed);
  const resample = (): number => statistic(clusters.flatMap(() => clusters[draw(clusters.length)] ?? []));
  return summarise(statistic(items), Array.from({ length: resamples }, resample), { n: items.length, clusters: clusters.length });
}

/**
 * As `estimate`, for statistics that noise pushes to one side: the value less the bias that the resamples show, and the interval mirrored
 * at the value (basic bootstrap). All within `bounds`.
 */
export function correctedEstimate<T extends { readonly cluster: string }>(items: readonly T[], statistic: (items: readonly T[]) => number, { bounds: [least, most], ...bootstrap }: Bootstrap & { readonly bounds: readonly [number, number] }): Estimate {
  const values: number[] = []; // of the items first, then of every resample
  const kept = estimate(items, (drawn) => { const one = statistic(drawn); values.push(one); return one; }, bootstrap);
  const { value, lower, upper } = kept;
  if (value === null || lower === null || upper === null) return kept;
  const resampled = values.slice(1).filter(Number.isFinite);
  const within = (one: number): number => Math.max(least, Math.min(most, one));
  return { ...kept, value: within(2 * value - resampled.reduce((sum, one) => sum + one, 0) / resampled.length), lower: within(2 * value - upper), upper: within(2 * value - lower) };
}

/** The mean of clustered values; by sums of clusters, so that the time does not depend on the items of each. */
export function meanEstimate(items: readonly { readonly cluster: string; readonly value: number }[], { seed, resamples }: Bootstrap = BOOTSTRAP): Estimate {
  if (items.length === 0) return NOTHING;
  const sums = clustersOf(items).map((cluster) => ({ sum: cluster.reduce((sum, { value }) => sum + value, 0), count: cluster.length }));
  const draw = drawer(seed);
  const resample = (): number => {
    let [sum, count] = [0, 0];
    for (let i = 0; i < sums.length; i += 1) {
      const drawn = sums[draw(sums.length)];
      sum += drawn?.sum ?? 0;
      count += drawn?.count ?? 0;
    }
    return sum / count;
  };
  const value = sums.reduce((sum, one) => sum + one.sum, 0) / items.length;
  return summarise(value, Array.from({ length: resamples }, resample), { n: items.length, clusters: sums.length });
}

function clustersOf<T extends { readonly cluster: string }>(items: readonly T[]): T[][] {
  return [...Map.groupBy(items, ({ cluster }) => cluster).values()];
}

function summarise(value: number, resampled: readonly number[], counts: { n: number; clusters: number }): Estimate {
  const sorted = resampled.filter(Number.isFinite).sort((a, b) => a - b);
  const [lower, upper] = INTERVAL.map((share) => quantile(sorted, share));
  return { value: Number.isFinite(value) ? value : null, lower: lower ?? null, upper: upper ?? null, ...counts };
}

/** Linear between neighbours; null of nothing. */
function quantile(sorted: readonly number[], share: number): number | null {
  const place = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return below === undefined || above === undefined ? null : below + (above - below) * (place - Math.floor(place));
}

/** Share of positive margins (ties count one half) and mean Bradley-Terry loss -log sigmoid(margin). */
export interface PairNumbers { readonly accuracy: Estimate; readonly loss: Estimate }

export function pairNumbers(margins: readonly Margin[], bootstrap: Bootstrap = BOOTSTRAP): PairNumbers {
  return {
    accuracy: meanEstimate(margins.map(({ cluster, margin }) => ({ cluster, value: rightness(margin) })), bootstrap),
    loss: meanEstimate(margins.map(({ cluster, margin }) => ({ cluster, value: bradleyTerry(margin) })), bootstrap),
  };
}

/** -log sigmoid(margin), also for margins whose exponential overflows. */
export function bradleyTerry(margin: number): number {
  return Math.max(0, -margin) + Math.log1p(Math.exp(-Math.abs(margin)));
}

/** How much more often the first is right than the second, on the same comparisons. RangeError when they are not as many. */
export function gain(first: readonly Margin[], second: readonly Margin[], bootstrap: Bootstrap = BOOTSTRAP): Estimate {
  if (first.length !== second.length) throw new RangeError(`expected as many margins, got ${String(first.length)} and ${String(second.length)}`);
  return meanEstimate(first.map(({ cluster, margin }, at) => ({ cluster, value: rightness(margin) - rightness(second[at]?.margin ?? NaN) })), bootstrap);
}

/** Ranks from 1; equal values share the mean of theirs. */
export function ranks(values: readonly number[]): number[] {
  const order = [...values.keys()].sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0));
  const out = new Array<number>(values.length).fill(0);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to < order.length && values[order[to] ?? 0] === values[order[from] ?? 0]) to += 1;
    for (let at = from; at < to; at += 1) out[order[at] ?? 0] = (from + 1 + to) / 2;
    from = to;
  }
  return out;
}

/** Spearman's rank correlation of y with a known x. 0 where y does not vary, for it tells nothing of x; NaN where x does not. */
export function spearman(pairs: readonly { readonly x: number; readonly y: number }[]): number {
  const [x, y] = [ranks(pairs.map((pair) => pair.x)), ranks(pairs.map((pair) => pair.y))];
  const middle = (pairs.length + 1) / 2;
  const sum = (of: (at: number) => number): number => pairs.reduce((total, _, at) => total + of(at), 0);
  const deviation = (values: readonly number[], at: number): number => (values[at] ?? 0) - middle;
  const [xs, ys] = [sum((at) => deviation(x, at) ** 2), sum((at) => deviation(y, at) ** 2)];
  if (xs === 0) return NaN;
  return ys === 0 ? 0 : sum((at) => deviation(x, at) * deviation(y, at)) / Math.sqrt(xs * ys);
}

export function spearmanEstimate(items: readonly { readonly cluster: string; readonly x: number; readonly y: number }[], bootstrap: Bootstrap = BOOTSTRAP): Estimate {
  return estimate(items, spearman, bootstrap);
}
