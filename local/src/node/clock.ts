// Waiting. Every wait can be cut short by a signal and none keeps the process alive by mistake.
import { setTimeout as delay } from 'node:timers/promises';

/** Waits `ms` milliseconds, or less when `signal` aborts; never rejects. */
export const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
  if (signal?.aborted === true) return;
  await delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined);
};

/** Seconds-resolution RFC 3339, as metav1.Time is written. */
export const rfc3339 = (at: Date): string => `${at.toISOString().slice(0, 19)}Z`;

/** Microsecond-resolution RFC 3339, as metav1.MicroTime is written. */
export const rfc3339Micro = (at: Date): string => `${at.toISOString().slice(0, 23)}000Z`;
