import jstat from 'jstat';

const { studentt } = jstat.jStat;

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
}

/** Sum of squares of deviations from the mean. */
export function squares(values: ArrayLike<number>): number {
  const centre = mean(values);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i]! - centre) ** 2;
  return sum;
}

export function standardDeviation(values: ArrayLike<number>): number {
  return values.length < 2 ? 0 : Math.sqrt(squares(values) / (values.length - 1));
}

/** Quantile of sorted values, straight between neighbours; an infinite neighbour that counts makes it infinite. */
export function quantile(sorted: ArrayLike<number>, p: number): number {
  const at = (sorted.length - 1) * p;
  const below = Math.floor(at);
  const low = sorted[below]!;
  if (at === below) return low;
  const high = sorted[below + 1]!;
  return high === low ? low : low + (at - below) * (high - low);
}

export function ascending(values: Iterable<number>): Float64Array {
  return Float64Array.from(values).sort();
}

/** What holds `confidence` of Student's distribution between minus it and it. */
export function studentQuantile(confidence: number, degrees: number): number {
  return studentt.inv(0.5 + confidence / 2, degrees);
}

/** The two-sided p-value of a t statistic. */
export function studentPValue(t: number, degrees: number): number {
  return 2 * (1 - studentt.cdf(Math.abs(t), degrees));
}
