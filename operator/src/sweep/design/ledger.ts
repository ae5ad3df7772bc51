// What points cost that share trunks, and what is left for more of them.
import type { Candidate, Remaining } from './candidate.ts';
import { addedFlops, reachOf } from './cooldown.ts';

export interface Choice {
  readonly candidate: Candidate;
  /** What starting it adds, its trunk's part included. */
  readonly flops: number;
}

/** What choices cost, and what is left for more of them. */
export interface Ledger {
  readonly added: (candidate: Candidate) => number;
  readonly canPay: (candidate: Candidate) => boolean;
  readonly take: (candidate: Candidate) => Choice;
}

/** `started`: points whose trunks reach as far as they need already. */
export function openLedger(started: readonly Candidate[], remaining: Remaining, percent: number): Ledger {
  let reach = reachOf(started, percent);
  let { flops = Infinity, gpuHours = Infinity } = remaining;
  const added = (candidate: Candidate): number => addedFlops(candidate, reach, percent);
  const hours = (candidate: Candidate): number => (candidate.gpuHours ?? 0) * added(candidate) / candidate.flops;
  return {
    added,
    canPay: (candidate) => added(candidate) <= flops && hours(candidate) <= gpuHours,
    take: (candidate) => {
      const cost = added(candidate);
      gpuHours -= hours(candidate);
      flops -= cost;
      reach = reachOf([candidate], percent, reach);
      return { candidate, flops: cost };
    },
  };
}
