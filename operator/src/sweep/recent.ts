// Runs that this process has just made or found, until the cache has them: a cache that lags must not make a sweep start more than it may.
import type { StoredRun } from '../run/caches.ts';

/** A cache that has not shown an object after so long shows that it is gone. */
const FORGET_MS = 60_000;

export class RecentRuns {
  readonly #bySweep = new Map<string, Map<string, { readonly run: StoredRun; readonly at: number }>>();
  readonly #seeded = new Set<string>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(sweepUid: string, run: StoredRun): void {
    const runs = this.#bySweep.get(sweepUid) ?? new Map<string, { readonly run: StoredRun; readonly at: number }>();
    this.#bySweep.set(sweepUid, runs);
    runs.set(run.metadata.uid ?? '', { run, at: this.#now() });
  }

  /** The cached runs and those that are not in the cache yet. */
  with(sweepUid: string, cached: readonly StoredRun[]): readonly StoredRun[] {
    const runs = this.#bySweep.get(sweepUid);
    if (runs === undefined || runs.size === 0) return cached;
    for (const { metadata } of cached) runs.delete(metadata.uid ?? '');
    for (const [uid, { at }] of runs) if (this.#now() - at > FORGET_MS) runs.delete(uid);
    return [...cached, ...[...runs.values()].map(({ run }) => run)];
  }

  /** Whether the API server was asked for the sweep's runs since this process leads: what the leader before made may be news. */
  isSeeded(sweepUid: string): boolean {
    return this.#seeded.has(sweepUid);
  }

  seed(sweepUid: string, listed: readonly StoredRun[]): void {
    this.#seeded.add(sweepUid);
    for (const run of listed) this.add(sweepUid, run);
  }
}
