// How long a key waits after an error: doubling for each key, and one bucket over all keys so that many failing keys make no storm.
import { monotonic } from './clock.ts';

export interface Limits {
  readonly minMs: number;
  readonly maxMs: number;
  /** Retries per second over all keys, and how many may come at once. */
  readonly perSecond: number;
  readonly burst: number;
}

export const DEFAULT_LIMITS: Limits = { minMs: 5, maxMs: 60_000, perSecond: 10, burst: 100 };

export class Backoff {
  readonly #limits: Limits;
  readonly #now: () => number;
  readonly #failures = new Map<string, number>();
  // When the bucket would be empty of debts: each retry moves it 1 / perSecond further.
  #paidUntil = -Infinity;

  constructor(limits: Partial<Limits> = {}, now: () => number = monotonic) {
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
    this.#now = now;
  }

  /** Counts a failure of the key and returns how many milliseconds it has to wait. */
  next(key: string): number {
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const own = Math.min(this.#limits.minMs * 2 ** Math.min(failures, 40), this.#limits.maxMs);
    return Math.max(own, this.#take());
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  #take(): number {
    const now = this.#now();
    const costMs = 1000 / this.#limits.perSecond;
    this.#paidUntil = Math.max(this.#paidUntil, now - costMs * this.#limits.burst) + costMs;
    return Math.max(0, this.#paidUntil - now);
  }
}
