// Who may have a token checked when, so that a flood of bad ones takes nothing from the trainers that are known.
import type { Lane, Limits } from './limits.ts';
import { unavailable } from './refusal.ts';

/** Runs tasks in order, so many at once and so many waiting. Throws Refusal (UNAVAILABLE) at once when too many wait. */
export type Run = <T>(task: () => Promise<T>) => Promise<T>;

export function lane({ atOnce, waiting }: Lane): Run {
  const queue: (() => void)[] = [];
  let running = 0;
  return async (task) => {
    if (running >= atOnce) {
      if (queue.length >= waiting) throw unavailable('too many tokens under review, try again');
      await new Promise<void>((resolve) => queue.push(resolve));
    } else {
      running += 1;
    }
    try {
      return await task();
    } finally {
      // The place goes to the next in line, or becomes free.
      const next = queue.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}

/** Refused tokens per minute by address. */
export interface Offenders {
  readonly isSuspect: (address: string) => boolean;
  readonly isBlocked: (address: string) => boolean;
  readonly blame: (address: string) => void;
}

const MINUTE_MS = 60_000;
const MAX_ADDRESSES = 10_000;

export function offenders({ suspectAfter, blockedAfter }: Limits, now: () => number = () => performance.now()): Offenders {
  const byAddress = new Map<string, { count: number; until: number }>();
  const countOf = (address: string): number => {
    const found = byAddress.get(address);
    return found === undefined || found.until < now() ? 0 : found.count;
  };
  return {
    isSuspect: (address) => countOf(address) >= suspectAfter,
    isBlocked: (address) => countOf(address) >= blockedAfter,
    blame: (address) => {
      const count = countOf(address) + 1;
      const until = count === 1 ? now() + MINUTE_MS : (byAddress.get(address)?.until ?? 0);
      byAddress.delete(address);
      byAddress.set(address, { count, until });
      // The oldest offender is forgotten first.
      for (const oldest of byAddress.keys()) {
        if (byAddress.size <= MAX_ADDRESSES) break;
        byAddress.delete(oldest);
      }
    },
  };
}

/** The address of a peer "address:port". */
export function addressOf(peer: string): string {
  return peer.replace(/:\d+$/, '');
}
