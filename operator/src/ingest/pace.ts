// A leaky bucket: so many per second on average, so many at once.

export interface Pace {
  /** Counts `cost` and returns how long to wait before the next. */
  delayMs(cost?: number): number;
}

export function pace(perSecond: number, burst: number, now: () => number = () => performance.now()): Pace {
  const costMs = 1000 / perSecond;
  let paidUntil = -Infinity;
  return {
    delayMs: (cost = 1) => {
      paidUntil = Math.max(paidUntil, now() - costMs * burst) + costMs * cost;
      return Math.max(0, paidUntil - now());
    },
  };
}
