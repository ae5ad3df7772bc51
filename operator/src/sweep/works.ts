// What can be started: runs of points, branches of trunks, trunks and longer trunks. Pure.
import { naiveFlops, tokensOf } from './grid.ts';
import type { GridPoint } from './grid.ts';
import type { SweepRun } from './observed.ts';
import type { PointView, Situation } from './situation.ts';
import { forkOf, reachOf, trunkFlops, trunkViews } from './trunks.ts';
import type { TrunkView } from './trunks.ts';

export type Work =
  /** A run of its own. */
  | { readonly do: 'point'; readonly of: GridPoint; readonly retry: number; readonly flops: number }
  | { readonly do: 'branch'; readonly of: GridPoint; readonly retry: number; readonly flops: number; readonly trunk: SweepRun; readonly step: number }
  | { readonly do: 'trunk'; readonly of: GridPoint; readonly retry: number; readonly flops: number; readonly view: TrunkView }
  /** A trunk that is to go on further than it was made for. */
  | { readonly do: 'extend'; readonly of: GridPoint; readonly retry: number; readonly flops: number; readonly view: TrunkView; readonly run: SweepRun };

/** In the order of the points; with trunks the cheapest first, since branches wait for theirs. */
export function worksOf(s: Situation, waiting: readonly PointView[]): readonly Work[] {
  if (s.spec.cooldowns?.reuse !== true) return waiting.map(ownRun);
  const chosen = new Set(s.points.filter(({ state }) => state !== 'Waiting').concat(waiting).map(({ of }) => of.id));
  const wanted = new Map(waiting.map((point) => [point.of.id, point]));
  const views = trunkViews({ ...s, grid: s.seen.grid }, ({ id }) => chosen.has(id));
  return views.flatMap((view) => ofTrunk(s, view, view.trunk.branches.flatMap(({ point }) => wanted.get(point.of.id) ?? []))).sort((a, b) => a.flops - b.flops);
}

function ownRun({ of, retry, flops }: PointView): Work {
  return { do: 'point', of, retry, flops };
}

function ofTrunk(s: Situation, view: TrunkView, points: readonly PointView[]): readonly Work[] {
  const { run, of, retry } = view;
  if (points.length === 0) return [];
  if (view.hasFailed) return points.map(ownRun);
  const whole = trunkFlops(view, view.trunk.budget, s.tokensPerTriplet);
  if (run === undefined) return [{ do: 'trunk', of, retry, flops: whole, view }];
  const reach = reachOf(view);
  const ready = run.state === 'Complete' ? points.flatMap((point) => branch(s, { view, run, reach }, point)) : [];
  if (reach >= view.trunk.budget || run.isAskedToStop) return ready;
  return [...ready, { do: 'extend', of, retry, flops: whole - trunkFlops(view, reach, s.tokensPerTriplet), view, run }];
}

/** A checkpoint that the trunk did not keep, as of a budget that was added when it had passed, is not made up for. */
function branch(s: Situation, { view, run, reach }: { readonly view: TrunkView; readonly run: SweepRun; readonly reach: number }, point: PointView): readonly Work[] {
  const fork = forkOf(view, point.of);
  if (fork === undefined || fork.from > reach) return [];
  if (fork.step === undefined) return [ownRun(point)];
  const before = naiveFlops(point.of.parameters, tokensOf({ ...view.of.point, [view.trunk.unit]: fork.from }, s.tokensPerTriplet));
  return [{ do: 'branch', of: point.of, retry: point.retry, flops: Math.max(0, point.flops - before), trunk: run, step: fork.step }];
}
