// The curve in a status: at most 200 points of whatever was reported, extremes among them. Pure.
import type { CurvePoint } from '../api/status.ts';

// 72 * 2 + 2 points with a training loss and 51 + 3 with a validation: 200.
const TRAINING = 72;
const VALIDATION = 51;

type Series = readonly CurvePoint[];

/**
 * The union by step of two curves, thinned. Of points with the same step the fields of `added` win.
 *
 * Training losses and validation results are thinned as two series. Steps are cut into buckets that depend on the first
 * and the last step of the series alone (see `bucketsOf`). A bucket of training keeps its lowest and its highest loss, so
 * that spikes stay visible, a bucket of validation its lowest loss; the first and the newest point and the highest
 * validation loss are kept as well. As more comes buckets only unite: merging points one by one, in batches, repeated
 * or out of order ends in the same curve. Time is linear in the number of added points.
 */
export function mergeCurve(kept: Series, added: Series): CurvePoint[] {
  const training = new Map<number, CurvePoint>();
  const validation = new Map<number, CurvePoint>();
  for (const series of [kept, added]) {
    for (const point of series) {
      if (point.trainLoss !== undefined) training.set(point.step, point);
      if (hasValidation(point)) validation.set(point.step, withResult(validation.get(point.step) ?? { step: point.step }, point));
    }
  }
  const byStep = new Map<number, CurvePoint>();
  for (const point of thinned(training.values(), TRAINING, lossOf)) byStep.set(point.step, withoutResult(point));
  for (const point of thinned(validation.values(), VALIDATION, resultOf)) byStep.set(point.step, withResult(byStep.get(point.step) ?? { step: point.step }, point));
  return [...byStep.values()].sort((a, b) => a.step - b.step);
}

export function hasValidation(point: CurvePoint): boolean {
  return point.valLoss !== undefined || point.valAccuracy !== undefined;
}

function withoutResult(point: CurvePoint): CurvePoint {
  if (!hasValidation(point)) return point;
  const { step, tokens, trainLoss } = point;
  return { step, ...(tokens !== undefined && { tokens }), ...(trainLoss !== undefined && { trainLoss }) };
}

function withResult(point: CurvePoint, { tokens, valLoss, valAccuracy }: CurvePoint): CurvePoint {
  return { ...point, ...(tokens !== undefined && { tokens }), ...(valLoss !== undefined && { valLoss }), ...(valAccuracy !== undefined && { valAccuracy }) };
}

const lossOf = ({ trainLoss }: CurvePoint): number => Number(trainLoss);
// A validation that only tells an accuracy is kept where there is none with a loss.
const resultOf = ({ valLoss }: CurvePoint): number => Number(valLoss ?? Infinity);

interface Extremes {
  low: CurvePoint;
  lowest: number;
  high: CurvePoint;
  highest: number;
}

/** The first and the last point, the highest of all, and of each bucket the lowest and, of a training loss, the highest. In no order, some of them twice. */
function thinned(values: Iterable<CurvePoint>, buckets: number, valueOf: (point: CurvePoint) => number): CurvePoint[] {
  const points = [...values];
  const [first, last] = endsOf(points);
  if (first === undefined || last === undefined) return [];
  const bucketOf = bucketsOf(first.step, last.step, buckets);
  const byBucket = new Map<number, Extremes>();
  for (const point of points) {
    const bucket = bucketOf(point.step);
    const extremes = byBucket.get(bucket);
    const value = valueOf(point);
    if (extremes === undefined) byBucket.set(bucket, { low: point, lowest: value, high: point, highest: value });
    else stretch(extremes, point, value);
  }
  const all = [...byBucket.values()];
  const highs = valueOf === lossOf ? all : highestOf(all);
  return [first, last, ...all.map(({ low }) => low), ...highs.map(({ high }) => high)];
}

/** Of equal values the first stands for the lowest and the last for the highest, in whatever order they come. */
function stretch(extremes: Extremes, point: CurvePoint, value: number): void {
  if (value < extremes.lowest || (value === extremes.lowest && point.step < extremes.low.step)) {
    extremes.low = point;
    extremes.lowest = value;
  }
  const hasValue = value !== Infinity;
  const isHigher = extremes.highest === Infinity ? hasValue : hasValue && value > extremes.highest;
  if (isHigher || (value === extremes.highest && point.step > extremes.high.step)) {
    extremes.high = point;
    extremes.highest = value;
  }
}

function highestOf(all: readonly Extremes[]): Extremes[] {
  const [first, ...others] = all;
  if (first === undefined) return [];
  const found = { ...first };
  for (const { high, highest } of others) stretch(found, high, highest);
  return [found];
}

function endsOf(points: Series): [CurvePoint?, CurvePoint?] {
  let [first, last] = [points[0], points[0]];
  for (const point of points) {
    if (first === undefined || point.step < first.step) first = point;
    if (last === undefined || point.step > last.step) last = point;
  }
  return first === undefined || last === undefined ? [] : [first, last];
}

/**
 * Cuts [first, last] into at most `buckets` buckets and returns the first step of each step's bucket. Old steps are in
 * buckets of 2 w steps, new ones in buckets of w steps, with the least power of two w and the least of the old part that
 * fit. A wider range never separates steps that a narrower one put together.
 */
function bucketsOf(first: number, last: number, buckets: number): (step: number) => number {
  let w = 1;
  while (Math.floor(last / (2 * w)) - Math.floor(first / (2 * w)) >= buckets) w *= 2;
  const begin = Math.floor(first / (2 * w));
  const oldEnd = Math.max(begin, Math.floor(last / w) - begin + 1 - buckets) * 2 * w;
  return (step) => {
    const width = step < oldEnd ? 2 * w : w;
    return Math.floor(step / width) * width;
  };
}
