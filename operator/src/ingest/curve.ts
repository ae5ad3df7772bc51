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
      if (hasValidation(point)) validation.set(point.step, { ...validation.get(point.step), ...point });
    }
  }
  const byStep = new Map<number, CurvePoint>();
  for (const point of thinned([...training.values()], TRAINING, [lowest('trainLoss'), highest('trainLoss')])) {
    byStep.set(point.step, only(point, ['step', 'tokens', 'trainLoss']));
  }
  const validated = [...validation.values()];
  for (const point of [...thinned(validated, VALIDATION, [lowest('valLoss')]), ...best(validated, highest('valLoss'))]) {
    byStep.set(point.step, { ...byStep.get(point.step), ...only(point, ['step', 'tokens', 'valLoss', 'valAccuracy']) });
  }
  return [...byStep.values()].sort((a, b) => a.step - b.step);
}

function only(point: CurvePoint, fields: readonly (keyof CurvePoint)[]): CurvePoint {
  return Object.fromEntries(fields.flatMap((field) => (point[field] === undefined ? [] : [[field, point[field]]]))) as CurvePoint;
}

export function hasValidation(point: CurvePoint): boolean {
  return point.valLoss !== undefined || point.valAccuracy !== undefined;
}

/** Whether a is to be kept rather than b; never both ways. */
type Better = (a: CurvePoint, b: CurvePoint) => boolean;

function lowest(field: 'trainLoss' | 'valLoss'): Better {
  return (a, b) => {
    const difference = Number(a[field] ?? Infinity) - Number(b[field] ?? Infinity);
    return difference < 0 || (!(difference > 0) && a.step < b.step);
  };
}

function highest(field: 'trainLoss' | 'valLoss'): Better {
  return (a, b) => {
    const difference = Number(a[field] ?? -Infinity) - Number(b[field] ?? -Infinity);
    return difference > 0 || (!(difference < 0) && a.step > b.step);
  };
}

const earlier: Better = (a, b) => a.step < b.step;
const later: Better = (a, b) => a.step > b.step;

function best(points: Series, isBetter: Better): CurvePoint[] {
  const found = points.reduce<CurvePoint | undefined>((kept, point) => (kept === undefined || isBetter(point, kept) ? point : kept), undefined);
  return found === undefined ? [] : [found];
}

/** The first and the last point and the best of each bucket by each of the orders; in no order, some of them twice. */
function thinned(points: Series, buckets: number, orders: readonly Better[]): CurvePoint[] {
  const ends = [...best(points, earlier), ...best(points, later)];
  const [first, last] = ends;
  if (first === undefined || last === undefined) return [];
  const bucketOf = bucketsOf(first.step, last.step, buckets);
  const bests = orders.map((isBetter) => {
    const byBucket = new Map<number, CurvePoint>();
    for (const point of points) {
      const bucket = bucketOf(point.step);
      const before = byBucket.get(bucket);
      if (before === undefined || isBetter(point, before)) byBucket.set(bucket, point);
    }
    return byBucket;
  });
  return [...ends, ...bests.flatMap((byBucket) => [...byBucket.values()])];
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
