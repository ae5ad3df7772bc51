// Waiting that can be cut short.
import { setTimeout as after } from 'node:timers/promises';

/** Waits `ms`, or less when the signal aborts; never throws. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await after(ms, undefined, signal === undefined ? {} : { signal });
  } catch {
    // Aborted: the caller looks at the signal.
  }
}

/** Between half of `ms` and all of it, so that many waiters do not wake together. */
export function jittered(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}
