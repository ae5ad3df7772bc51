// Which of several replicas leads: one Lease, taken and renewed by whoever holds it, watched by the others.
//
//   waiting --free, released or not renewed for its duration--> leading
//   leading --renewed too late, taken by another, or gone--> fence closed, work ended --> waiting
//   leading --asked to stop--> work ended --> fence closed --> Lease released
import { sleep, whenAborted } from './clock.ts';
import { CLOCKS, Fence, now } from './fence.ts';
import type { Clocks, Instant } from './fence.ts';
import { NOBODY, observed } from './holding.ts';
import type { Holding } from './holding.ts';
import { holderOf, readLease, releaseLease, writeLease } from './lease.ts';
import type { Lease, LeasePlace } from './lease.ts';
import { followLease } from './leaseWatch.ts';
import type { Log } from './log.ts';
import { leaderMaster, leaderSlowpath } from './metrics.ts';
import { Wake } from './wake.ts';

export interface ElectionTiming {
  /** Others wait this long after the last renewal they saw. */
  readonly leaseDurationMs: number;
  /** The leader writes nothing when its last renewal is this old. */
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
}

export const DEFAULT_ELECTION: ElectionTiming = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000 };

export interface ElectionOptions extends LeasePlace {
  readonly timing: ElectionTiming;
  readonly log: Log;
  readonly clocks?: Clocks;
  /** How long the work of a term may take to end after its signal. */
  readonly endMs?: { readonly onStop: number; readonly onLoss: number };
}

/** From one election to its loss or the stop. Work must end soon after the signal; the fence stops its writes in any case. */
export interface Term {
  readonly fence: Fence;
  readonly signal: AbortSignal;
}

export type Lead = (term: Term) => Promise<void>;
export type ElectionState = 'waiting' | 'leading' | 'stopped';

export class Election {
  readonly #options: ElectionOptions;
  readonly #clocks: Clocks;
  readonly #wake = new Wake();
  #state: ElectionState = 'waiting';
  #holding: Holding = NOBODY;
  #lease: Lease | undefined;
  #contactAt = -Infinity;
  #turnAt: number;

  constructor(options: ElectionOptions) {
    this.#options = options;
    this.#clocks = options.clocks ?? CLOCKS;
    this.#turnAt = this.#clocks.monotonic();
    leaderMaster.set({ name: options.name }, 0);
    leaderSlowpath.inc({ name: options.name }, 0);
  }

  get state(): ElectionState {
    return this.#state;
  }

  /** Since the API server last told the state of the Lease. */
  get silentMs(): number {
    return this.#clocks.monotonic() - this.#contactAt;
  }

  /** Since the election last did a step; it does one every retry period, whether or not the API server answers. */
  get stuckMs(): number {
    return this.#state === 'stopped' ? 0 : this.#clocks.monotonic() - this.#turnAt;
  }

  /** Takes part until the signal aborts, and calls `lead` for every term won. Throws what `lead` throws, or when its work does not end with the term. */
  async run(lead: Lead, signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    signal.addEventListener('abort', () => this.#wake.now(), { once: true });
    const following = followLease(this.#options, this.#options.timing.retryPeriodMs, (lease) => this.#told(lease), stop.signal);
    try {
      while (!signal.aborted) {
        const fence = await this.#campaign(signal);
        if (fence !== undefined) await this.#serve(fence, lead, signal);
      }
    } finally {
      this.#state = 'stopped';
      stop.abort();
      await following;
    }
  }

  async #campaign(signal: AbortSignal): Promise<Fence | undefined> {
    this.#state = 'waiting';
    this.#options.log.info({ identity: this.#options.identity, lease: this.#options.name }, 'waiting for leadership');
    while (!signal.aborted) {
      const sent = this.#turn();
      try {
        if (await this.#tryToTake()) return new Fence(this.#options.timing.renewDeadlineMs, sent, this.#clocks);
      } catch (error) {
        this.#options.log.warn({ err: error }, 'lease not read or written, trying again');
      }
      const heldMs = this.#holding.until - this.#clocks.monotonic();
      await this.#wake.wait(Math.min(this.#options.timing.retryPeriodMs, heldMs > 0 ? heldMs + 1 : Infinity));
    }
    return undefined;
  }

  async #tryToTake(): Promise<boolean> {
    const { timing } = this.#options;
    const timeoutMs = Math.ceil(timing.renewDeadlineMs / 2);
    const lease = await readLease(this.#options, timeoutMs);
    this.#saw(lease);
    if (this.#holding.until > this.#clocks.monotonic()) return false;
    this.#lease = await writeLease(this.#options, lease, timing.leaseDurationMs, timeoutMs);
    return this.#lease !== undefined;
  }

  async #serve(fence: Fence, lead: Lead, signal: AbortSignal): Promise<void> {
    const { log, name, identity, endMs = { onStop: 1000, onLoss: 60_000 } } = this.#options;
    this.#state = 'leading';
    leaderMaster.set({ name }, 1);
    log.info({ identity, lease: name, transitions: this.#lease?.spec?.leaseTransitions }, 'leading');
    const end = new AbortController();
    fence.signal.addEventListener('abort', () => {
      end.abort();
      this.#wake.now();
    }, { once: true });
    const work = lead({ fence, signal: end.signal });
    const ended = work.then(() => undefined, () => undefined);
    const renewing = this.#renewUntilLost(fence, AbortSignal.any([signal, end.signal]));
    await Promise.race([renewing, ended, whenAborted(signal)]);
    const isLost = !fence.isOpen;
    leaderMaster.set({ name }, 0);
    this.#state = 'waiting';
    end.abort();
    if (isLost) log.error({ identity, lease: name, err: fence.signal.reason }, 'leadership lost');
    else await Promise.race([ended, sleep(endMs.onStop)]);
    await this.#leave(fence, renewing, isLost);
    await within(work, endMs.onLoss);
    if (!isLost && !signal.aborted) throw new Error('the work of a leader ended by itself');
  }

  /** From here on nothing is written; only then may another replica begin. */
  async #leave(fence: Fence, renewing: Promise<void>, isLost: boolean): Promise<void> {
    fence.close('it has stopped');
    this.#wake.now();
    await renewing;
    if (!isLost) await this.#release();
  }

  async #renewUntilLost(fence: Fence, stop: AbortSignal): Promise<void> {
    const { timing, log } = this.#options;
    let failures = 0;
    while (fence.isOpen && !stop.aborted) {
      await this.#wake.wait(Math.min(failures > 0 ? timing.retryPeriodMs / 2 : timing.retryPeriodMs, Math.max(1, fence.leftMs)));
      if (stop.aborted || !fence.isOpen) return;
      try {
        await this.#renew(fence, this.#turn());
        failures = 0;
      } catch (error) {
        failures += 1;
        log.warn({ err: error, failures, leftMs: Math.round(fence.leftMs) }, 'lease not renewed, trying again');
      }
    }
  }

  async #renew(fence: Fence, sent: Instant): Promise<void> {
    const { timing, name } = this.#options;
    const timeoutMs = (): number => Math.max(1, Math.floor(Math.min(timing.renewDeadlineMs / 2, fence.leftMs)));
    let renewed = await writeLease(this.#options, this.#lease, timing.leaseDurationMs, timeoutMs());
    if (renewed === undefined) {
      // Edited or deleted by somebody, or an own renewal whose answer was lost.
      leaderSlowpath.inc({ name });
      const lease = await readLease(this.#options, timeoutMs());
      this.#saw(lease);
      if (lease !== undefined && holderOf(lease) !== this.#options.identity) {
        fence.close(`the lease is held by "${holderOf(lease)}"`);
        return;
      }
      if (fence.isOpen) renewed = await writeLease(this.#options, lease, timing.leaseDurationMs, timeoutMs());
    }
    if (renewed === undefined) throw new Error('the lease changed while it was being renewed');
    this.#lease = renewed;
    this.#contactAt = this.#clocks.monotonic();
    fence.renew(sent);
  }

  async #release(): Promise<void> {
    const { log, name } = this.#options;
    try {
      const released = this.#lease === undefined ? undefined : await releaseLease(this.#options, this.#lease, 1000);
      log.info({ lease: name }, released === undefined ? 'lease not released: somebody else has changed it' : 'lease released');
    } catch (error) {
      log.warn({ err: error }, 'lease not released, others wait until it expires');
    }
    this.#lease = undefined;
  }

  /** From the watch, which saves waiting: what follows is decided on what is then read or written. */
  #told(lease: Lease | undefined): void {
    this.#saw(lease);
    const isOurs = lease !== undefined && holderOf(lease) === this.#options.identity;
    if (this.#state === 'leading' ? !isOurs : holderOf(lease) === '') this.#wake.now();
  }

  #saw(lease: Lease | undefined): void {
    this.#contactAt = this.#clocks.monotonic();
    this.#holding = observed(this.#holding, lease, this.#contactAt, { identity: this.#options.identity, leaseDurationMs: this.#options.timing.leaseDurationMs });
  }

  #turn(): Instant {
    const instant = now(this.#clocks);
    this.#turnAt = instant.monotonic;
    return instant;
  }
}

async function within(work: Promise<void>, ms: number): Promise<void> {
  const late = new AbortController();
  const timeout = sleep(ms, late.signal).then(() => {
    if (!late.signal.aborted) throw new Error(`the work of a leader did not end within ${ms} ms after its term`);
  });
  try {
    await Promise.race([work, timeout]);
  } finally {
    late.abort();
  }
}
