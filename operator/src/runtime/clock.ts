// Waiting that can be cut short.
import { setTimeout as after } from 'node:timers/promises';

/** Milliseconds of a clock that nobody sets. */
export function monotonic(): number {
  return Math.round(performance.now());
}

/** Waits `ms`, or less when the signal aborts; never throws. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await after(ms, undefined, signal === undefined ? {} : { signal });
  } catch {
    // Aborted: the caller looks at the signal.
  }
}

/** Resolves when the signal aborts. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Between half of `ms` and all of it, so that many waiters do not wake together. */
export function jittered(ms: number): number {
  return ms * (0.5 + Math.random() / 2);
}
