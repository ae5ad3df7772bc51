// One training run of a sweep, and what is kept of it once it has ended.

/** One point of the grid. Its canonical JSON names the child, so no field is ever left out or written in two ways. */
export interface Point {
  /** Name of a preset, or h64-l4-a4-k2-i128-r10000 of an architecture: width, layers, heads, key-value heads, feed-forward, RoPE base. */
  readonly size: string;
  /** Corpus tokens of the budget; exactly one of tokens and steps is set. */
  readonly tokens?: number;
  /** Optimizer steps of the budget. */
  readonly steps?: number;
  /** Decimal string without needless zeros, or auto. */
  readonly learningRate: string;
  readonly batchTriplets: number | 'auto';
  readonly seed: number;
}

export const OUTCOMES = ['Succeeded', 'Failed', 'Stopped'] as const;
export type Outcome = (typeof OUTCOMES)[number];

export interface CurvePoint {
  readonly tokens: number;
  readonly valLoss: number;
}

/** What a point measured, with everything that fits and costs need: its run may be gone. Numbers that a failed run never reported are 0, losses absent. */
export interface PointRecord {
  /** Ten hexadecimal digits; see naming.ts. */
  readonly id: string;
  readonly point: Point;
  readonly outcome: Outcome;
  readonly reason?: string;
  readonly message?: string;
  readonly run: { readonly name: string; readonly uid: string };
  readonly parameters: number;
  readonly parametersWithoutEmbedding: number;
  /** Corpus tokens trained on, those of the trunk that a branch continues included. */
  readonly tokens: number;
  readonly computedTokens: number;
  readonly steps: number;
  /** 6 * parametersWithoutEmbedding * tokens of full sequences, nothing shared and no padding. */
  readonly naiveFlops: number;
  /** As the trainer counted them. */
  readonly flops: number;
  readonly gpuHours: number;
  /** Bradley-Terry loss on held-out prompts of seen policies at the end; absent when the run never validated. */
  readonly valLoss?: number;
  readonly valLossStandardError?: number;
  readonly valPairs?: number;
  readonly unseenLoss?: number;
  readonly unseenLossStandardError?: number;
  /** At most 24 validations, spread over the run. */
  readonly curve: readonly CurvePoint[];
  /** RFC 3339. */
  readonly completedTime: string;
}

/** One run of a point, or a trunk, as it is kept when it has ended. */
export interface RunRecord extends Omit<PointRecord, 'outcome'> {
  /** Removed: the point was taken off the axes before its end. */
  readonly outcome: Outcome | 'Removed';
  /** 0 for the first run of the point. */
  readonly retry: number;
  /** What counts against budget.flops: 6 N D of this run alone, without the trunk it continues. */
  readonly spentFlops: number;
  /** A run that others branch from; its point is the largest of theirs and it measures nothing itself. */
  readonly isTrunk?: boolean;
}
