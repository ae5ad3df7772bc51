import { FitError } from './error.ts';
import type { Curve, Observation } from './types.ts';

type Point = Curve['points'][number];

/**
 * The compute frontier (paper section 4.4): the lowest loss that any run had reached at each of `count` amounts of
 * compute, evenly spaced in their logs, from whole curves. Between the points of a curve ln loss is taken as straight
 * in ln compute. Amounts at which a cheaper point is as good are left out. Neighbours come from the same runs, so
 * intervals of a fit to many of them are too narrow: ask for about as many as there are curves, unless the shape is all.
 * @throws FitError naming the curve that is empty or has numbers that are not above 0
 */
export function frontier(curves: readonly Curve[], count = 20): readonly Observation[] {
  if (curves.length === 0) throw new FitError('curves', 'at least one', 'none');
  const sorted = curves.map((curve, i) => ({ ...curve, points: checked(curve, i) }));
  const first = Math.min(...sorted.map((curve) => curve.points[0]!.flops));
  const last = Math.max(...sorted.map((curve) => curve.points.at(-1)!.flops));
  const amounts = Array.from({ length: count }, (_, i) => (count === 1 || i === count - 1 ? last : first * (last / first) ** (i / (count - 1))));
  const kept: Observation[] = [];
  for (const flops of amounts) {
    const best = lowest(sorted, flops);
    if (best !== undefined && best.loss < (kept.at(-1)?.loss ?? Infinity)) kept.push(best);
  }
  return kept;
}

function checked(curve: Curve, i: number): readonly Point[] {
  if (!(curve.parameters > 0)) throw new FitError(`curves[${i}].parameters`, 'a number above 0', String(curve.parameters));
  if (curve.points.length === 0) throw new FitError(`curves[${i}].points`, 'at least one', 'none');
  curve.points.forEach((point, j) => {
    if (!(Number.isFinite(point.flops) && point.flops > 0)) throw new FitError(`curves[${i}].points[${j}].flops`, 'a finite number above 0', String(point.flops));
    if (!(Number.isFinite(point.loss) && point.loss > 0)) throw new FitError(`curves[${i}].points[${j}].loss`, 'a finite number above 0', String(point.loss));
  });
  return [...curve.points].sort((left, right) => left.flops - right.flops);
}

function lowest(curves: readonly Curve[], flops: number): Observation | undefined {
  let best: Observation | undefined;
  for (const curve of curves) {
    const loss = lossAt(curve.points, flops);
    if (loss === undefined || loss >= (best?.loss ?? Infinity)) continue;
    best = { parameters: curve.parameters, tokens: flops / (6 * curve.parameters), flops, loss, ...(curve.label === undefined ? {} : { label: curve.label }) };
  }
  return best;
}

function lossAt(points: readonly Point[], flops: number): number | undefined {
  const next = points.findIndex((point) => point.flops >= flops * (1 - 1e-12));
  const right = points[next];
  if (right === undefined) return undefined;
  const left = points[next - 1];
  if (left === undefined || right.flops === left.flops) return right.flops <= flops * (1 + 1e-12) ? right.loss : undefined;
  const part = Math.log(flops / left.flops) / Math.log(right.flops / left.flops);
  return left.loss ** (1 - part) * right.loss ** part;
}
