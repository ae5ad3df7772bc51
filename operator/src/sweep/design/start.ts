// The first points of a planned sweep: the smallest that tell the parameters of the law apart.
import type { Candidate, Law } from './candidate.ts';
import { axesOf } from './linear.ts';

/** Different settings that a fit of a form needs: one more than it has parameters. */
const LEAST = { power: 3, offset: 4, joint: 6 };

/**
 * One point for each of the first settings, the cheapest first: the lower left corner of the grid, so that each axis of
 * the law has several values and none is large.
 */
export function startOf<P extends Candidate>(law: Law, points: readonly P[]): P[] {
  const axes = axesOf(law);
  const levels = axes.map((axis) => [...new Set(points.map((point) => point[axis]))].sort((a, b) => a - b));
  const rank = (point: P): number => axes.reduce((sum, axis, k) => sum + levels[k]!.indexOf(point[axis]), 0);
  const settings = Map.groupBy(points.toSorted(byCost), (point) => axes.map((axis) => point[axis]).join());
  const cheapest = [...settings.values()].map(([first]) => ({ point: first!, rank: rank(first!) }));
  return cheapest.sort((a, b) => a.rank - b.rank || byCost(a.point, b.point)).slice(0, LEAST[law.form]).map(({ point }) => point).sort(byCost);
}

export function byCost(a: Candidate, b: Candidate): number {
  return a.flops - b.flops || (a.id < b.id ? -1 : Number(a.id > b.id));
}
