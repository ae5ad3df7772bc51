// The fence between a leader and the API server: it closes at the renew deadline, and nothing opens it again.
import type { KubeClient } from './client.ts';

/** Milliseconds of a clock that only goes forward, and of the wall clock. */
export interface Clocks {
  readonly monotonic: () => number;
  readonly wall: () => number;
}

export interface Instant {
  readonly monotonic: number;
  readonly wall: number;
}

export const CLOCKS: Clocks = { monotonic: () => performance.now(), wall: () => Date.now() };

export function now(clocks: Clocks = CLOCKS): Instant {
  return { monotonic: clocks.monotonic(), wall: clocks.wall() };
}

/** A write that was not sent, or was given up, because this process no longer leads. */
export class FencedError extends Error {
  override readonly name = 'FencedError';
}

/**
 * Open for `lifeMs` after the last renewal was sent. The monotonic clock decides; the wall clock can only close it earlier, since a
 * suspended machine stops the monotonic one. Whoever asks gets the truth of that moment: timers of a stopped process fire late.
 */
export class Fence {
  readonly #lifeMs: number;
  readonly #clocks: Clocks;
  readonly #closing = new AbortController();
  #renewed: Instant;
  #timer: NodeJS.Timeout | undefined;

  constructor(lifeMs: number, renewed: Instant, clocks: Clocks = CLOCKS) {
    this.#lifeMs = lifeMs;
    this.#clocks = clocks;
    this.#renewed = renewed;
    this.#arm();
  }

  /** Aborts when the fence closes, which is as soon as anybody looks after the deadline. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  /** Until the fence closes; 0 or less when it is closed. */
  get leftMs(): number {
    if (this.#closing.signal.aborted) return 0;
    const { monotonic, wall } = now(this.#clocks);
    const age = Math.max(monotonic - this.#renewed.monotonic, wall - this.#renewed.wall);
    if (age >= this.#lifeMs) this.close(`the lease was last renewed ${Math.round(age)} ms ago`);
    return this.#lifeMs - age;
  }

  get isOpen(): boolean {
    return this.leftMs > 0;
  }

  /** A renewal that was sent then has succeeded. */
  renew(sent: Instant): void {
    if (!this.isOpen) return;
    this.#renewed = sent;
    this.#arm();
  }

  /** Throws FencedError when closed. */
  check(): void {
    if (!this.isOpen) throw this.#closing.signal.reason;
  }

  close(why: string): void {
    clearTimeout(this.#timer);
    if (!this.#closing.signal.aborted) this.#closing.abort(new FencedError(`not sent, this replica does not lead: ${why}`));
  }

  #arm(): void {
    clearTimeout(this.#timer);
    if (!Number.isFinite(this.#lifeMs)) return;
    // Only to give up writes in flight; whether one may go out is asked when it does.
    this.#timer = setTimeout(() => this.isOpen && this.#arm(), Math.max(1, this.leftMs));
    this.#timer.unref();
  }
}

/** The client for what only a leader may do: reads pass, and no write goes out after the fence has closed. Does not own the client. */
export function fencedClient(client: KubeClient, fence: Fence): KubeClient {
  return {
    request: async (method, path, options = {}) => {
      if (method === 'GET') return client.request(method, path, options);
      fence.check();
      const signal = options.signal === undefined ? fence.signal : AbortSignal.any([options.signal, fence.signal]);
      return client.request(method, path, { ...options, signal, beforeSend: () => fence.check() });
    },
    watch: (path, query, signal) => client.watch(path, query, signal),
    close: () => Promise.resolve(),
  };
}
