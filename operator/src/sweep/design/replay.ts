// What a planned sweep with cooldowns would have spent on a grid that is measured already: it sees the loss of a point
// once it has chosen it. How narrow it knows the target is the wider of two: the interval of its own fit, and the one
// that the law fitted to the whole grid gives its points at the grid's scatter. A few points that happen to lie close to
// a curve make the first narrow; by the second they are not taken for knowledge.
import { predict } from '../fit/predict.ts';
import type { At, Fit } from '../fit/types.ts';
import type { PointRecord } from '../point.ts';
import type { Law, Measured } from './candidate.ts';
import { trunkKey } from './cooldown.ts';
import { uncertaintyOf } from './views.ts';
import { halfWidthOf, nextPoints } from './vOptimal.ts';

export interface ReplayOptions {
  readonly law: Law;
  readonly target: At;
  /** Fits measured points; throws while they are too few. */
  readonly fit: (measured: readonly Measured[]) => Fit;
  /** Runs at a time; default 1. */
  readonly slots?: number;
  readonly costExponent?: number;
  /** Cooldown of branches; absent: no point shares a trunk. */
  readonly cooldownPercent?: number;
  /** How much wider than the grid's an interval may be that counts as the same, in percent; default 10. */
  readonly widerPercent?: number;
}

export interface ReplayStep {
  /** Ids of the points of this round, in the order they were chosen. */
  readonly chosen: readonly string[];
  /** Spent so far. */
  readonly flops: number;
  /** Of the target's interval by the fit of this step, in percent of the loss; absent while nothing can be fitted. */
  readonly halfWidthPercent?: number;
  /** Predicted at the target. */
  readonly loss?: number;
  /** Width of the interval over the grid's, the wider of the two; absent while nothing can be fitted. */
  readonly widthOverGrid?: number;
}

export interface Replay {
  /** Of all points as runs of their own. */
  readonly gridFlops: number;
  /** Until the interval was as narrow as the grid's, or of all points when it never was. */
  readonly plannedFlops: number;
  /** plannedFlops over gridFlops. */
  readonly ratio: number;
  /** Whether the interval became narrow enough before all points were measured. */
  readonly isEarly: boolean;
  /** Ids in the order they were chosen, up to there. */
  readonly order: readonly string[];
  /** On until the interval is no wider than the grid's at all: flopsUntil reads other limits from them. */
  readonly steps: readonly ReplayStep[];
  readonly gridHalfWidthPercent: number;
  readonly gridLoss: number;
}

const WIDER_PERCENT = 10;

/**
 * Measured points of a grid, without those that have no loss or were stopped early. `flops` are 6 N D as separate runs,
 * N outside the embedding, whatever was shared when they were measured.
 */
export function gridOf(records: readonly PointRecord[], parameters: 'total' | 'withoutEmbedding'): Measured[] {
  return records.flatMap((record) => record.valLoss === undefined || record.outcome !== 'Succeeded' ? [] : [{
    id: record.id, parameters: parameters === 'total' ? record.parameters : record.parametersWithoutEmbedding,
    tokens: record.tokens, flops: record.naiveFlops, gpuHours: record.gpuHours, loss: record.valLoss, trunk: trunkKey(record.point),
  }]);
}

/** @throws FitError when the whole grid cannot be fitted, or the target lacks a column */
export function replay(grid: readonly Measured[], options: ReplayOptions): Replay {
  const whole = options.fit(grid);
  const steps = stepsOf(options.cooldownPercent === undefined ? grid.map(alone) : grid, whole, options);
  const end = endOf(steps, options.widerPercent);
  const [gridFlops, plannedFlops] = [grid.reduce((sum, { flops }) => sum + flops, 0), end.at(-1)?.flops ?? 0];
  const order = end.flatMap(({ chosen }) => chosen);
  return {
    gridFlops, plannedFlops, ratio: plannedFlops / gridFlops, isEarly: order.length < grid.length, order, steps,
    gridHalfWidthPercent: halfWidthOf(whole, options.target), gridLoss: predict(whole, options.target).loss,
  };
}

/** FLOPs until the interval was at most so much wider than the grid's. */
export function flopsUntil({ steps }: Pick<Replay, 'steps'>, widerPercent: number): number {
  return endOf(steps, widerPercent).at(-1)?.flops ?? 0;
}

function endOf(steps: readonly ReplayStep[], widerPercent = WIDER_PERCENT): readonly ReplayStep[] {
  const end = steps.findIndex(({ widthOverGrid = Infinity }) => widthOverGrid <= 1 + widerPercent / 100);
  return end < 0 ? steps : steps.slice(0, end + 1);
}

function stepsOf(points: readonly Measured[], whole: Fit, options: ReplayOptions): ReplayStep[] {
  const steps: ReplayStep[] = [];
  const widthOf = relativeWidth(points, whole, options);
  let observed: readonly Measured[] = [];
  let fit: Fit | undefined;
  while (observed.length < points.length && (steps.at(-1)?.widthOverGrid ?? Infinity) > 1) {
    const round = next(points, observed, fit, options);
    observed = [...observed, ...round.chosen];
    fit = attempt(options, observed);
    const known = fit && { halfWidthPercent: halfWidthOf(fit, options.target), loss: predict(fit, options.target).loss, widthOverGrid: widthOf(fit, observed) };
    steps.push({ chosen: round.chosen.map(({ id }) => id), flops: (steps.at(-1)?.flops ?? 0) + round.flops, ...known });
  }
  return steps;
}

function relativeWidth(points: readonly Measured[], whole: Fit, { law, target }: ReplayOptions): (fit: Fit, observed: readonly Measured[]) => number {
  const gridWidth = halfWidthOf(whole, target);
  const uncertainty = (known: readonly Measured[]): number => uncertaintyOf({ law, fit: whole, target, known, left: points.filter((point) => !known.includes(point)) });
  const gridUncertainty = uncertainty(points);
  return (fit, observed) => Math.max(halfWidthOf(fit, target) / gridWidth, uncertainty(observed) / gridUncertainty);
}

function next(points: readonly Measured[], observed: readonly Measured[], fit: Fit | undefined, options: ReplayOptions): { chosen: Measured[]; flops: number } {
  const candidates = points.filter((point) => !observed.includes(point));
  const { choices } = nextPoints({ ...options, fit, slots: options.slots ?? 1, candidates, observed, running: [] });
  const chosen = choices.flatMap(({ candidate }) => candidates.find(({ id }) => id === candidate.id) ?? []);
  return { chosen, flops: choices.reduce((sum, { flops }) => sum + flops, 0) };
}

function alone({ id, parameters, tokens, flops, loss }: Measured): Measured {
  return { id, parameters, tokens, flops, loss };
}

/** Too few points, or too alike, are no fit yet. */
function attempt({ fit }: ReplayOptions, observed: readonly Measured[]): Fit | undefined {
  try {
    return fit(observed);
  } catch {
    return undefined;
  }
}
