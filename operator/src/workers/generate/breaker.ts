// When a policy's endpoint is left alone and when it is asked again: closed, open until an instant, then one probe. No clock of its own.

export interface BreakerRules { readonly breakAfter: number; readonly baseMs: number; readonly longestMs: number }

export class Breaker {
  readonly #rules: BreakerRules;
  #failures = 0;
  #openings = 0;
  #openUntil: number | undefined;
  #probing = false;

  constructor(rules: BreakerRules) {
    this.#rules = rules;
  }

  /** Whether requests go out as usual. */
  get closed(): boolean {
    return this.#openUntil === undefined;
  }

  /** Milliseconds until a request may go out; Infinity while a probe is under way. */
  waitMs(now: number): number {
    if (this.#openUntil === undefined) return 0;
    return this.#probing ? Infinity : Math.max(0, this.#openUntil - now);
  }

  /** A request goes out; the first after an opening is the probe. */
  sent(): void {
    if (!this.closed) this.#probing = true;
  }

  succeeded(): void {
    [this.#failures, this.#openings, this.#openUntil, this.#probing] = [0, 0, undefined, false];
  }

  /** Waits grow from eight times the base to the longest, `jitter` (0 to 1) spreads them over half their length. */
  failed(now: number, jitter: number): void {
    this.#failures += 1;
    const probed = this.#probing;
    this.#probing = false;
    if (!probed && (this.#failures < this.#rules.breakAfter || !this.closed)) return;
    this.#openings += 1;
    this.#openUntil = now + jittered(Math.min(this.#rules.longestMs, this.#rules.baseMs * 8 * 2 ** Math.min(this.#openings - 1, 30)), jitter);
  }

  /** The probe said neither: it was answered with "busy" or was never sent. */
  undecided(): void {
    this.#probing = false;
  }
}

/** Wait before attempt `attempt` + 1 (from 1): exponential, at most the longest, the second half by chance. */
export function backoffMs(attempt: number, { baseMs, longestMs }: Pick<BreakerRules, 'baseMs' | 'longestMs'>, jitter: number): number {
  return jittered(Math.min(longestMs, baseMs * 2 ** Math.min(attempt - 1, 30)), jitter);
}

/** Milliseconds that a Retry-After header asks for (seconds or a date), undefined when it says nothing that can be read. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  if (/^\d{1,9}(\.\d{1,3})?$/.test(text)) return Number(text) * 1000;
  const at = /^[A-Za-z]{3,9}, ?\d/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}

const jittered = (ms: number, jitter: number): number => ms / 2 + (ms / 2) * jitter;

/** A token bucket of one second. */
export class Pace {
  readonly #perSecond: number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond;
    this.#tokens = this.#most;
    this.#at = now;
  }

  /** Milliseconds until one more may go; 0 takes it. */
  take(now: number): number {
    this.#tokens = Math.min(this.#most, this.#tokens + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
    if (this.#tokens < 1) return Math.max(1, Math.ceil(((1 - this.#tokens) / this.#perSecond) * 1000));
    this.#tokens -= 1;
    return 0;
  }

  get #most(): number {
    return Math.max(1, this.#perSecond);
  }
}
