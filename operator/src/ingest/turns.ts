// Whose status is written next: so many writes per second over all runs, and every run that waits gets its turn.
import type { Wheel } from './wheel.ts';

export interface TurnLimits {
  readonly writesPerSecond: number;
  readonly writesAtOnce: number;
}

interface Turn {
  readonly write: () => Promise<void>;
}

// As many may go at once after a pause as come in this time.
const BURST_MS = 500;

/** Turns in the order of asking, within a lane. Nobody may ask twice before his turn is over, so that every run has the same share. */
export class Turns {
  readonly #limits: TurnLimits;
  readonly #wheel: Wheel;
  readonly #urgent = new Set<Turn>();
  readonly #others = new Set<Turn>();
  #paidUntil = -Infinity;
  #underWay = 0;
  #wasUrgent = false;
  #isAsleep = false;

  constructor(limits: TurnLimits, wheel: Wheel) {
    this.#limits = limits;
    this.#wheel = wheel;
  }

  get waiting(): number {
    return this.#urgent.size + this.#others.size;
  }

  /** Calls `write` when its turn has come; its promise ends the turn. Returns what moves it among the urgent ones: they go first, but never twice in a row while others wait. */
  take(write: () => Promise<void>, isUrgent: boolean): () => void {
    const turn = { write };
    (isUrgent ? this.#urgent : this.#others).add(turn);
    this.#go();
    return () => {
      if (this.#others.delete(turn)) this.#urgent.add(turn);
    };
  }

  close(): void {
    this.#urgent.clear();
    this.#others.clear();
  }

  #go(): void {
    while (this.#underWay < this.#limits.writesAtOnce && this.waiting > 0) {
      const now = performance.now();
      if (this.#paidUntil > now) return this.#sleep(this.#paidUntil - now);
      this.#paidUntil = Math.max(this.#paidUntil, now - BURST_MS) + 1000 / this.#limits.writesPerSecond;
      this.#underWay += 1;
      void this.#next()?.write().finally(() => {
        this.#underWay -= 1;
        this.#go();
      });
    }
  }

  #sleep(ms: number): void {
    if (this.#isAsleep) return;
    this.#isAsleep = true;
    this.#wheel.after(ms, () => {
      this.#isAsleep = false;
      this.#go();
    });
  }

  #next(): Turn | undefined {
    const isUrgent = this.#urgent.size > 0 && !(this.#wasUrgent && this.#others.size > 0);
    this.#wasUrgent = isUrgent;
    const lane = isUrgent ? this.#urgent : this.#others;
    const [first] = lane;
    if (first !== undefined) lane.delete(first);
    return first;
  }
}
