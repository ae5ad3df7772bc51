// The curve in a status: at most 200 points of whatever was reported. Pure.
import type { CurvePoint } from '../api/status.ts';

// 56 validation points, their newest and their best, 140 training points and the newest of them: 199.
const VALIDATION_BUCKETS = 56;
const TRAINING_BUCKETS = 140;

/**
 * The union by step of two curves, thinned. Of points with the same step the fields of `added` win.
 *
 * Steps are cut into buckets of 2^k steps with the least k that leaves few enough, and each bucket keeps its first
 * point. Buckets nest and k follows from the first and last step alone, which are always kept: merging points one by
 * one, in batches, repeated or out of order ends in the same curve. Points with a validation result and points with a
 * training loss are thinned separately; the newest of each and the lowest validation loss stay.
 */
export function mergeCurve(kept: readonly CurvePoint[], added: readonly CurvePoint[]): CurvePoint[] {
  const byStep = new Map(kept.map((point) => [point.step, point]));
  for (const point of added) byStep.set(point.step, { ...byStep.get(point.step), ...point });
  const points = [...byStep.values()].sort((a, b) => a.step - b.step);
  const training = points.filter((point) => point.trainLoss !== undefined);
  const validated = points.filter(hasValidation);
  const keep = new Set([...thinned(training, TRAINING_BUCKETS), ...thinned(validated, VALIDATION_BUCKETS), ...lowestLoss(validated)]);
  return points.filter((point) => keep.has(point));
}

export function hasValidation(point: CurvePoint): boolean {
  return point.valLoss !== undefined || point.valAccuracy !== undefined;
}

function thinned(points: readonly CurvePoint[], maxBuckets: number): CurvePoint[] {
  const first = points[0];
  const last = points.at(-1);
  if (first === undefined || last === undefined) return [];
  let width = 1;
  while (Math.floor(last.step / width) - Math.floor(first.step / width) >= maxBuckets) width *= 2;
  const kept: CurvePoint[] = [];
  for (const point of points) {
    const before = kept.at(-1);
    if (before === undefined || Math.floor(before.step / width) < Math.floor(point.step / width)) kept.push(point);
  }
  return [...kept, last];
}

function lowestLoss(points: readonly CurvePoint[]): CurvePoint[] {
  let best: CurvePoint | undefined;
  for (const point of points) {
    if (point.valLoss !== undefined && (best?.valLoss === undefined || Number(point.valLoss) < Number(best.valLoss))) best = point;
  }
  return best === undefined ? [] : [best];
}
