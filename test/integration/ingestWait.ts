// Waiting with a deadline and a reason, and how long a test may take at all.
import { setTimeout as sleep } from 'node:timers/promises';

/** Of every test and hook of ingest: what hangs in spite of the deadlines fails, instead of holding up all tests. */
export const TIMELY = { timeout: 120_000 };

const WAIT_MS = 20_000;

/** Throws when it is not true within 20 s. */
export async function eventually(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`not within ${WAIT_MS / 1000} s: ${what}`);
    await sleep(20);
  }
}

/** What a promise gives. Throws when it gives nothing within 20 s. */
export async function within<T>(what: string, promised: Promise<T>): Promise<T> {
  const stop = new AbortController();
  const late = sleep(WAIT_MS, undefined, stop).then(() => Promise.reject(new Error(`not within ${WAIT_MS / 1000} s: ${what}`)));
  // Stopped, it is rejected as well, and nobody listens.
  late.catch(() => undefined);
  return Promise.race([promised, late]).finally(() => stop.abort());
}
