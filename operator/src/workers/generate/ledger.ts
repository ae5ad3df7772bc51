// The books of one shard: which requests are settled, where their rows stand, what each policy gave and cost. Entries go in, in the order of the journals.
import { addTo, noCount, type PolicyCount } from './counts.ts';
import type { Entry, JournalRow, Span } from './journal.ts';
import { add, type Cost } from './money.ts';

export interface Place extends Span { readonly journal: number }

const SETTLED = 1;

export class Ledger {
  readonly #models: readonly string[];
  readonly #state: Uint8Array;
  readonly #open = new Map<number, { readonly p: number; readonly cost: Cost }>();
  readonly #counts = new Map<number, PolicyCount>();
  /** Rows that are in no part yet, by request. */
  readonly rows = new Map<number, Place>();
  firstAnswer = Infinity;
  lastAnswer = 0;

  /** `settled` are the bits of earlier parts; `models` what each policy is asked for. */
  constructor(requests: number, models: readonly string[], settled: Uint8Array) {
    this.#models = models;
    this.#state = Uint8Array.from({ length: requests }, (_, r) => ((settled[r >> 3] ?? 0) >> (r & 7)) & SETTLED);
  }

  isSettled(r: number): boolean {
    return this.#state[r] === SETTLED;
  }

  get missing(): number {
    return this.#state.reduce((sum, state) => sum + (state === SETTLED ? 0 : 1), 0);
  }

  /** What journals say of each policy, by its number. */
  get counts(): ReadonlyMap<number, PolicyCount> {
    return this.#counts;
  }

  /** The settled requests, eight to a byte. */
  bits(): Buffer {
    const bits = Buffer.alloc(Math.ceil(this.#state.length / 8));
    this.#state.forEach((state, r) => { bits[r >> 3] = (bits[r >> 3] ?? 0) | (state << (r & 7)); });
    return bits;
  }

  /** Books an entry; gives what it adds to the counts of its policy. */
  take(what: Entry, place: Place): PolicyCount {
    const more = noCount();
    if (what.kind === 'ask') {
      more.lost = this.#open.get(what.r)?.cost ?? more.lost;
      this.#open.set(what.r, { p: what.p, cost: costIn(what.cost) });
    } else {
      this.#open.delete(what.r);
      if (what.kind === 'failed') more.lost = costIn(what.cost);
      else this.#settle(what, place, more);
    }
    addTo(this.#count(what.p), more);
    return more;
  }

  /** A journal ended: what it asked for and never heard of may have been generated, and is booked as lost at its most. */
  endJournal(): void {
    for (const { p, cost } of this.#open.values()) this.#count(p).lost = add(this.#count(p).lost, cost);
    this.#open.clear();
  }

  #settle(what: Extract<Entry, { kind: 'row' | 'refused' }>, place: Place, more: PolicyCount): void {
    const again = this.isSettled(what.r);
    this.#state[what.r] = SETTLED;
    if (what.kind === 'refused') more.refused = again ? 0 : 1;
    else if (again) more.lost = costIn(what.cost);
    else {
      this.rows.set(what.r, place);
      [this.firstAnswer, this.lastAnswer] = [Math.min(this.firstAnswer, what.row.time), Math.max(this.lastAnswer, what.row.time)];
      addTo(more, countOf(what.row, costIn(what.cost), this.#models[what.p]));
    }
  }

  #count(p: number): PolicyCount {
    const known = this.#counts.get(p);
    if (known !== undefined) return known;
    const count = noCount();
    this.#counts.set(p, count);
    return count;
  }
}

function countOf(row: JournalRow, spent: Cost, asked: string | undefined): PolicyCount {
  const one = (is: boolean): number => (is ? 1 : 0);
  return {
    ...noCount(), rows: 1, spent, tokensIn: row.tokensIn ?? 0, tokensOut: row.tokensOut ?? 0,
    loops: one(row.truncated === 'loop'), incomplete: one(row.truncated === 'incomplete'), empty: one(row.output === ''),
    uncounted: one(row.tokensIn === null || row.tokensOut === null), otherModel: one(row.model !== null && row.model !== asked),
  };
}

/** A cost as journals hold it. */
export const costOut = ({ tokens, money }: Cost): [number, string] => [tokens, money.toString()];
export const costIn = ([tokens, money]: readonly [number, string]): Cost => ({ tokens, money: BigInt(money) });
