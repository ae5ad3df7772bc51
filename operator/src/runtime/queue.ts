// A queue of keys. A key added while it is being worked on runs once more afterwards, never twice at once.
//
//   dirty       needs work; a key is in it at most once
//   processing  a worker has it
//   queue       dirty minus processing, in order
import { Backoff } from './backoff.ts';
import type { Limits } from './backoff.ts';
import { monotonic } from './clock.ts';
import { queueAdds, queueDepth, queueRetries, queueWaitSeconds, queueWorkSeconds, trackWork } from './metrics.ts';

interface Delayed {
  readonly dueAt: number;
  readonly timer: NodeJS.Timeout;
}

// Timers hold at most 31 bits of milliseconds.
const MAX_TIMER_MS = 2 ** 31 - 1;

export class WorkQueue {
  readonly name: string;
  readonly #backoff: Backoff;
  readonly #queue: string[] = [];
  readonly #dirtySince = new Map<string, number>();
  readonly #processingSince = new Map<string, number>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #waiters: ((key: string | undefined) => void)[] = [];
  #isShutDown = false;

  constructor(name: string, limits: Partial<Limits> = {}) {
    this.name = name;
    this.#backoff = new Backoff(limits);
    trackWork(name, () => [...this.#processingSince.values()].map((since) => (monotonic() - since) / 1000));
  }

  get length(): number {
    return this.#queue.length;
  }

  add(key: string): void {
    if (this.#isShutDown || this.#dirtySince.has(key)) return;
    this.#dirtySince.set(key, monotonic());
    queueAdds.inc({ name: this.name });
    if (!this.#processingSince.has(key)) this.#push(key);
  }

  /** Adds the key after that time; of several delays the earliest counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#isShutDown) return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const dueAt = monotonic() + delayMs;
    const waiting = this.#delayed.get(key);
    if (waiting !== undefined && waiting.dueAt <= dueAt) return;
    clearTimeout(waiting?.timer);
    const timer = setTimeout(() => this.#due(key, delayMs - MAX_TIMER_MS), Math.min(delayMs, MAX_TIMER_MS));
    this.#delayed.set(key, { dueAt, timer });
  }

  /** Adds the key after a delay that doubles with each call until `forget`. Returns the delay in milliseconds. */
  addRateLimited(key: string): number {
    const delayMs = this.#backoff.next(key);
    queueRetries.inc({ name: this.name });
    this.addAfter(key, delayMs);
    return delayMs;
  }

  forget(key: string): void {
    this.#backoff.forget(key);
  }

  failures(key: string): number {
    return this.#backoff.failures(key);
  }

  /** The next key, as soon as there is one; undefined once the queue is shut down. The caller must say `done`. */
  get(): Promise<string | undefined> {
    const key = this.#queue.shift();
    if (key !== undefined) return Promise.resolve(this.#begin(key));
    if (this.#isShutDown) return Promise.resolve(undefined);
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** The worker has finished with the key; it is queued again when it was added meanwhile. */
  done(key: string): void {
    const since = this.#processingSince.get(key);
    if (since === undefined) throw new Error(`key "${key}" is not being worked on`);
    this.#processingSince.delete(key);
    queueWorkSeconds.observe({ name: this.name }, (monotonic() - since) / 1000);
    if (this.#dirtySince.has(key)) this.#push(key);
  }

  /** No key comes in or out any more; waiting workers get undefined. */
  shutDown(): void {
    this.#isShutDown = true;
    for (const { timer } of this.#delayed.values()) clearTimeout(timer);
    this.#delayed.clear();
    this.#queue.length = 0;
    this.#dirtySince.clear();
    for (const resolve of this.#waiters.splice(0)) resolve(undefined);
    queueDepth.set({ name: this.name }, 0);
  }

  #due(key: string, restMs: number): void {
    this.#delayed.delete(key);
    this.addAfter(key, restMs);
  }

  #push(key: string): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter(this.#begin(key));
    else this.#queue.push(key);
    queueDepth.set({ name: this.name }, this.#queue.length);
  }

  #begin(key: string): string {
    const now = monotonic();
    queueWaitSeconds.observe({ name: this.name }, (now - (this.#dirtySince.get(key) ?? now)) / 1000);
    this.#dirtySince.delete(key);
    this.#processingSince.set(key, now);
    queueDepth.set({ name: this.name }, this.#queue.length);
    return key;
  }
}
