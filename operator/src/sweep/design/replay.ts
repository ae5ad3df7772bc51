// What a planned sweep with cooldowns would have spent on a grid that is measured already.
import type { At, Fit } from '../fit/types.ts';
import type { PointRecord } from '../point.ts';
import type { Candidate, Law, Measured } from './candidate.ts';

export interface ReplayOptions {
  readonly law: Law;
  readonly target: At;
  /** Fits measured points; throws while they are too few. */
  readonly fit: (measured: readonly Measured[]) => Fit;
  /** Runs at a time; default 1. */
  readonly slots?: number;
  readonly costExponent?: number;
  /** Absent: no point shares a trunk. */
  readonly cooldownPercent?: number;
  /** How much wider than the grid's the interval may be, in percent of the grid's; default 0. */
  readonly widerPercent?: number;
}

export interface ReplayStep {
  readonly chosen: readonly Candidate['id'][];
  /** Spent so far. */
  readonly flops: number;
  /** Of the target's interval, in percent of the loss; absent while nothing can be fitted. */
  readonly halfWidthPercent?: number;
  readonly loss?: number;
}

export interface Replay {
  readonly gridFlops: number;
  readonly plannedFlops: number;
  /** plannedFlops over gridFlops. */
  readonly ratio: number;
  /** Ids in the order they were chosen. */
  readonly order: readonly string[];
  readonly steps: readonly ReplayStep[];
  readonly gridHalfWidthPercent: number;
  readonly gridLoss: number;
}

/** Measured points of a grid as candidates; those without a loss are left out. `flops` are naive, as separate runs. */
export function gridOf(records: readonly PointRecord[], parameters: 'total' | 'withoutEmbedding'): Measured[] {
  return records.flatMap((record) => record.valLoss === undefined ? [] : [{
    id: record.id, parameters: parameters === 'total' ? record.parameters : record.parametersWithoutEmbedding,
    tokens: record.tokens, flops: record.naiveFlops, loss: record.valLoss,
  }]);
}

export function replay(grid: readonly Measured[], options: ReplayOptions): Replay {
  const gridFlops = grid.reduce((sum, { flops }) => sum + flops, 0);
  return { gridFlops, plannedFlops: gridFlops, ratio: 1, order: [], steps: [], gridHalfWidthPercent: 0, gridLoss: options.target.parameters ?? 0 };
}
