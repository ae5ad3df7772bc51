// A leaky bucket: so many per second on average, so many at once.

export interface Pace {
  /** Counts one and returns how long to wait before the next. */
  delayMs(): number;
}

export function pace(perSecond: number, burst: number, now: () => number = () => performance.now()): Pace {
  const costMs = 1000 / perSecond;
  let paidUntil = -Infinity;
  return {
    delayMs: () => {
      paidUntil = Math.max(paidUntil, now() - costMs * burst) + costMs;
      return Math.max(0, paidUntil - now());
    },
  };
}
