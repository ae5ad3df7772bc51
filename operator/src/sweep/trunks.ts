// Trunks of cooldowns: runs with a constant learning rate that points branch from. Pure.
import type { SweepSpec } from '../api/sweep.ts';
import { branchStep, trunkKey, trunksOf } from './design/cooldown.ts';
import type { Trunk } from './design/cooldown.ts';
import { naiveFlops, tokensOf } from './grid.ts';
import type { GridPoint } from './grid.ts';
import { trunkId } from './naming.ts';
import type { SweepRun } from './observed.ts';
import type { Point, RunRecord } from './point.ts';
import { recordKey } from './records.ts';

type Placed = Point & { readonly of: GridPoint };

/** A trunk as far as its points are chosen, with the run that is it. */
export interface TrunkView {
  readonly id: string;
  readonly trunk: Trunk<Placed>;
  /** Size, learning rate, batch and seed with the budget of the trunk. */
  readonly of: GridPoint;
  readonly run: SweepRun | undefined;
  readonly retry: number;
  /** More runs of it failed than are tried again: its points are trained on their own. */
  readonly hasFailed: boolean;
}

export interface TrunksOf {
  readonly grid: readonly GridPoint[];
  readonly spec: SweepSpec;
  readonly records: readonly RunRecord[];
  readonly openByKey: ReadonlyMap<string, SweepRun>;
}

/** No trunks unless cooldowns are reused. `isChosen` says which points they are to reach. */
export function trunkViews({ grid, spec, records, openByKey }: TrunksOf, isChosen: (of: GridPoint) => boolean = () => true): readonly TrunkView[] {
  if (spec.cooldowns?.reuse !== true) return [];
  const placed = grid.map((of): Placed => ({ ...of.point, of }));
  const byId = Map.groupBy(records, ({ id }) => id);
  return trunksOf(placed, spec.cooldowns.percent, (point) => isChosen(point.of)).flatMap((trunk) => {
    const first = grid.find(({ point }) => trunk.key.startsWith(trunkKey(point)));
    if (first === undefined) return [];
    const id = trunkId(trunk.key);
    const own = byId.get(id) ?? [];
    const retry = own.length === 0 ? 0 : 1 + Math.max(...own.map((record) => record.retry));
    const hasFailed = own.filter(({ outcome }) => outcome === 'Failed').length > spec.maxRetries;
    return [{ id, trunk, of: { ...first, id, point: withBudget(first.point, trunk) }, run: openByKey.get(recordKey({ id, retry })), retry, hasFailed }];
  });
}

function withBudget({ size, learningRate, batchTriplets, seed }: Point, { unit, budget }: Trunk): Point {
  return { size, [unit]: budget, learningRate, batchTriplets, seed };
}

/** How far its run is to train, in the unit of the trunk. */
export function reachOf({ run, trunk }: TrunkView): number {
  return run === undefined ? 0 : run.budget[trunk.unit] ?? 0;
}

/** 6 N D of a trunk up to there. */
export function trunkFlops({ of, trunk }: TrunkView, reach: number, tokensPerTriplet: number): number {
  return naiveFlops(of.parameters, tokensOf({ ...withBudget(of.point, { ...trunk, budget: reach }) }, tokensPerTriplet));
}

/** Where a point leaves its trunk. */
export interface Fork {
  readonly from: number;
  /** Step of the checkpoint, once it is there. */
  readonly step: number | undefined;
}

export function forkOf({ trunk, run }: TrunkView, of: GridPoint): Fork | undefined {
  const branch = trunk.branches.find(({ point }) => point.of.id === of.id);
  return branch && { from: branch.from, step: branchStep({ unit: trunk.unit, from: branch.from }, run?.status.checkpoints?.history ?? []) };
}
