// How long somebody else's Lease still has to be respected, as far as this process has seen it change. Pure.
import { holderOf } from './lease.ts';
import type { Lease } from './lease.ts';

// A Lease may name another duration, since replicas may be configured differently during an upgrade; not any duration.
const MAX_FACTOR = 10;

/** Times are the observer's monotonic milliseconds: clocks of two machines are never compared. */
export interface Holding {
  readonly seen: string;
  readonly until: number;
}

export const NOBODY: Holding = { seen: '', until: 0 };

export interface Observer {
  readonly identity: string;
  readonly leaseDurationMs: number;
}

/** What is known after a look at the Lease at that time; undefined stands for "there is none". */
export function observed(before: Holding, lease: Lease | undefined, at: number, observer: Observer): Holding {
  // A Lease that was deleted does not make its holder stop at once.
  if (lease === undefined) return before;
  const seen = JSON.stringify([lease.metadata.uid, lease.spec]);
  if (seen === before.seen) return before;
  const holder = holderOf(lease);
  return { seen, until: holder === '' || holder === observer.identity ? at : at + durationMs(lease, observer.leaseDurationMs) };
}

function durationMs(lease: Lease, ownMs: number): number {
  const told = (lease.spec?.leaseDurationSeconds ?? 0) * 1000;
  return Number.isFinite(told) ? Math.min(Math.max(told, ownMs), ownMs * MAX_FACTOR) : ownMs;
}
