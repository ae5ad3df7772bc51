// What planning and shared trunks save: by replay on the measured grid, and in one run that confirms it.
import { flopsUntil, gridOf, replay } from '../../operator/src/sweep/design/replay.ts';
import type { Replay } from '../../operator/src/sweep/design/replay.ts';
import { fitLaw } from '../../operator/src/sweep/fit/fit.ts';
import type { PointRecord } from '../../operator/src/sweep/point.ts';
import type { SweepReport } from './follow.ts';
import type { Target } from './manifests.ts';
import { COOLDOWN_PERCENT } from './setting.ts';

const SHARE_OF_GRID = 0.5;
const WIDER_PERCENT = 10;
const RESAMPLES = 200;
const SLOTS = 2;

/** A model four times as large as the largest, trained on twice the tokens. */
export const targetOf = (records: readonly PointRecord[]): Target => ({
  parameters: 4 * Math.max(...records.map(({ parametersWithoutEmbedding }) => parametersWithoutEmbedding)), tokens: 2 * Math.max(...records.map(({ tokens }) => tokens)),
});

export interface Replayed {
  readonly target: Target;
  readonly grid_flops: number;
  readonly planned_flops: number;
  readonly planned_flops_over_grid: number;
  /** The same without cooldowns that share a trunk. */
  readonly without_cooldowns_over_grid: number;
  readonly exactly_as_narrow_over_grid: number;
  readonly points: number;
  readonly order: readonly string[];
  /** Half the 95 % interval at the target, in percent of the loss. */
  readonly grid_half_width_percent: number;
  readonly grid_loss: number;
}

export const replayOf = (records: readonly PointRecord[], target: Target): Replayed => {
  const grid = gridOf(records, 'withoutEmbedding');
  const run = (cooldownPercent?: number): Replay => replay(grid, {
    law: { form: 'joint' }, target, slots: SLOTS, widerPercent: WIDER_PERCENT, ...(cooldownPercent === undefined ? {} : { cooldownPercent }),
    fit: (measured) => fitLaw(measured, { form: 'joint', bootstrap: RESAMPLES }),
  });
  const found = run(COOLDOWN_PERCENT);
  return {
    target, grid_flops: found.gridFlops, planned_flops: found.plannedFlops, planned_flops_over_grid: found.ratio, without_cooldowns_over_grid: run().ratio,
    exactly_as_narrow_over_grid: flopsUntil(found, 0) / found.gridFlops, points: found.order.length, order: found.order,
    grid_half_width_percent: found.gridHalfWidthPercent, grid_loss: found.gridLoss,
  };
};

/** Of the planned run: half of the grid's FLOPs, and the grid's interval. */
export const limitsOf = ({ grid_flops: flops, grid_half_width_percent: width }: Replayed): { flops: number; precisionPercent: number } =>
  ({ flops: SHARE_OF_GRID * flops, precisionPercent: Math.min(100, Math.max(1, Math.round(width * (1 + WIDER_PERCENT / 100)))) });

export interface Confirmation {
  readonly flops: number;
  readonly flops_over_grid: number;
  readonly points: number;
  readonly precision_percent: number;
  readonly half_width_percent: number | undefined;
  readonly loss: number | undefined;
  readonly lower: number | undefined;
  readonly upper: number | undefined;
}

/** What the planned sweep spent and how well it knows the target. */
export const confirmationOf = ({ spent, prediction, points }: SweepReport, { grid_flops }: Replayed, precision_percent: number): Confirmation => {
  const { loss, lower, upper } = prediction.find(({ name, form }) => name === 'target' && form === 'joint') ?? {};
  const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
  const [flops, at, low, high] = [Number(spent.flops ?? Number.NaN), number(loss), number(lower), number(upper)];
  const half = at === undefined || low === undefined || high === undefined ? undefined : 50 * (high - low) / at;
  return { flops, flops_over_grid: flops / grid_flops, points: points.succeeded ?? 0, precision_percent, half_width_percent: half, loss: at, lower: low, upper: high };
};
