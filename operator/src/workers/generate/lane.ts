// The requests that wait for one policy: sent within its rate and concurrency, retried with back-off, held back while its endpoint fails, dropped when it is parked.
import { backoffMs, Breaker, Pace } from './breaker.ts';
import type { Outcome } from './client.ts';
import type { GenerateConfig, PolicyConfig } from './config.ts';
import type { Most } from './money.ts';
import type { Ask } from './plan.ts';
import type { Shard } from './shard.ts';

/** A request that waits or is under way. `held`: the budget holds `most`, which is what one attempt can cost. */
export interface Job { readonly ask: Ask; readonly shard: Shard; readonly most: Most; held: boolean; attempts: number }

export interface LaneDeps {
  readonly policy: PolicyConfig;
  readonly retries: GenerateConfig['retries'];
  /** Requests per second of this worker; undefined for no limit. */
  readonly perSecond: number | undefined;
  /** One attempt, booked; `spent` when the budget has no room for another. Rejects only when the worker must end. */
  readonly attempt: (job: Job) => Promise<Outcome | 'spent'>;
  /** The job is done with: `settled` unless it is to be asked for another time. */
  readonly over: (job: Job, settled: boolean) => void;
  readonly broken: (error: unknown) => void;
  readonly now: () => number;
  readonly random: () => number;
}

export interface LaneErrors { readonly counts: Map<string, number>; last: string | undefined }

// Refusals in a row after which it is the policy that refuses, not the request.
const REFUSALS = 20;

export class Lane {
  readonly #deps: LaneDeps;
  readonly #breaker: Breaker;
  readonly #pace: Pace | undefined;
  #queue: Job[] = [];
  #head = 0;
  #inFlight = 0;
  readonly #delayed = new Map<Job, NodeJS.Timeout>();
  #pausedUntil = 0;
  #busyInARow = 0;
  #refusedInARow = 0;
  /** Since when nothing but failures came; undefined while all is well. */
  #failingSince: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #parked: string | undefined;
  readonly errors: LaneErrors = { counts: new Map(), last: undefined };
  retries = 0;

  constructor(deps: LaneDeps) {
    this.#deps = deps;
    this.#breaker = new Breaker(deps.retries);
    this.#pace = deps.perSecond === undefined ? undefined : new Pace(deps.perSecond, deps.now());
  }

  /** Why nothing is asked of this policy any more. */
  get parked(): string | undefined {
    return this.#parked;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Jobs that are not over. */
  get pending(): number {
    return this.#queue.length - this.#head + this.#inFlight + this.#delayed.size;
  }

  get waiting(): 'busy' | 'failing' | undefined {
    if (!this.#breaker.closed) return 'failing';
    return this.#deps.now() < this.#pausedUntil ? 'busy' : undefined;
  }

  push(job: Job): void {
    if (this.#parked !== undefined || this.#stopped) this.#deps.over(job, false);
    else {
      this.#queue.push(job);
      this.#pump();
    }
  }

  /** Sends nothing more; jobs that wait are over, those under way end by themselves. */
  stop(): void {
    this.#stopped = true;
    this.#dropWaiting();
  }

  /** A new chance for a policy that was parked. */
  unpark(): void {
    [this.#parked, this.#failingSince, this.#refusedInARow, this.#busyInARow, this.#pausedUntil] = [undefined, undefined, 0, 0, 0];
    this.#breaker.succeeded();
  }

  #pump(): void {
    while (!this.#stopped && this.#head < this.#queue.length && this.#inFlight < this.#deps.policy.concurrency) {
      const wait = this.#waitMs();
      if (wait > 0) {
        this.#waitOrPark(wait);
        return;
      }
      const job = this.#queue[this.#head];
      this.#head += 1;
      if (this.#head > 4096 && this.#head * 2 > this.#queue.length) [this.#queue, this.#head] = [this.#queue.slice(this.#head), 0];
      if (job !== undefined) this.#send(job);
    }
  }

  #waitMs(): number {
    const now = this.#deps.now();
    const held = Math.max(this.#pausedUntil - now, this.#breaker.waitMs(now));
    return held > 0 ? held : (this.#pace?.take(now) ?? 0);
  }

  /** An endpoint may ask for any wait; it gets no more than giveUpSeconds. */
  #waitOrPark(ms: number): void {
    const left = this.#failingSince === undefined ? Infinity : this.#failingSince + this.#deps.retries.giveUpSeconds * 1000 - this.#deps.now();
    if (left > 0) this.#later(Math.min(ms, left));
    else this.#park(`no answer for ${String(this.#deps.retries.giveUpSeconds)} s, ${this.errors.last ?? ''}`);
  }

  #later(ms: number): void {
    // While a probe is under way its outcome pumps.
    if (this.#timer !== undefined || ms === Infinity) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#pump();
    }, Math.min(Math.ceil(ms), 60_000));
  }

  #send(job: Job): void {
    this.#inFlight += 1;
    const probing = !this.#breaker.closed;
    this.#breaker.sent();
    this.#deps.attempt(job).then((outcome) => {
      this.#inFlight -= 1;
      this.#judge(job, outcome, probing);
      this.#pump();
    }).catch((error: unknown) => { this.#deps.broken(error); });
  }

  #judge(job: Job, outcome: Outcome | 'spent', probing: boolean): void {
    if (outcome === 'spent') {
      this.#breaker.undecided();
      this.#deps.over(job, false);
      return;
    }
    if (outcome.kind === 'answer' || outcome.kind === 'refused') this.#spoke(job, outcome);
    else if (outcome.kind === 'unusable') this.#unusable(job, outcome.reason);
    else this.#retry(job, outcome, probing);
  }

  #spoke(job: Job, outcome: Extract<Outcome, { kind: 'answer' | 'refused' }>): void {
    this.#breaker.succeeded();
    [this.#failingSince, this.#busyInARow] = [undefined, 0];
    this.#refusedInARow = outcome.kind === 'refused' ? this.#refusedInARow + 1 : 0;
    if (outcome.kind === 'refused') this.#note(outcome.reason);
    this.#deps.over(job, true);
    if (this.#refusedInARow >= REFUSALS) this.#park(`refused ${String(REFUSALS)} requests in a row, ${this.errors.last ?? ''}`);
  }

  #unusable(job: Job, reason: string): void {
    this.#note(reason);
    this.#breaker.undecided();
    this.#deps.over(job, false);
    this.#park(reason);
  }

  #retry(job: Job, outcome: Extract<Outcome, { kind: 'busy' | 'failed' }>, probing: boolean): void {
    this.#note(outcome.reason);
    const { now, random, retries } = this.#deps;
    this.#failingSince ??= now();
    if (outcome.kind === 'busy') this.#pause(outcome.retryAfterMs);
    else {
      this.#breaker.failed(now(), random());
      // What the endpoint does to everyone is not held against one request.
      if (this.#breaker.closed && !probing) job.attempts += 1;
    }
    if (now() - this.#failingSince >= retries.giveUpSeconds * 1000) this.#park(`no answer for ${String(retries.giveUpSeconds)} s, ${outcome.reason}`);
    if (job.attempts >= retries.attempts || this.#parked !== undefined || this.#stopped) this.#deps.over(job, false);
    else this.#again(job, outcome.kind === 'busy' ? 0 : backoffMs(Math.max(1, job.attempts), retries, random()));
  }

  #pause(askedMs: number | undefined): void {
    const { now, random, retries } = this.#deps;
    this.#breaker.undecided();
    this.#busyInARow += 1;
    this.#pausedUntil = Math.max(this.#pausedUntil, now() + (askedMs ?? backoffMs(this.#busyInARow, retries, random())));
  }

  #again(job: Job, ms: number): void {
    this.retries += 1;
    this.#delayed.set(job, setTimeout(() => {
      this.#delayed.delete(job);
      this.push(job);
    }, ms));
  }

  #park(reason: string): void {
    this.#parked ??= reason;
    this.#dropWaiting();
  }

  #dropWaiting(): void {
    const waiting = [...this.#queue.slice(this.#head), ...this.#delayed.keys()];
    [this.#queue, this.#head] = [[], 0];
    for (const timer of this.#delayed.values()) clearTimeout(timer);
    this.#delayed.clear();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const job of waiting) this.#deps.over(job, false);
  }

  /** Errors by their beginning: an endpoint cannot make this grow. */
  #note(reason: string): void {
    const kind = /^HTTP \d{3}/.exec(reason)?.[0] ?? reason.split(/[:(]/, 1)[0]?.slice(0, 60) ?? 'error';
    const { counts } = this.errors;
    const known = counts.has(kind) || counts.size < 16 ? kind : 'other';
    counts.set(known, (counts.get(known) ?? 0) + 1);
    this.errors.last = reason;
  }
}
