// Many budgets from one run: a trunk with a constant learning rate, and a short cooldown from each of several of its
// checkpoints (schedule wsd, arXiv 2405.18392). Points that differ only in their budget share a trunk.
import { firstToReach } from '../../api/branchPoints.ts';
import type { CheckpointRecord } from '../../api/status.ts';
import type { Point } from '../point.ts';
import type { Candidate } from './candidate.ts';

/** One point as a cooldown of its trunk. */
export interface Branch<P extends Point = Point> {
  readonly point: P;
  /** Where the cooldown begins, in the unit of the trunk; a checkpoint of the trunk is saved there. */
  readonly from: number;
  /** The point's budget, counted from the beginning of the trunk. */
  readonly budget: number;
}

/** A run with schedule constant that ends where the cooldown of its largest branch begins. */
export interface Trunk<P extends Point = Point> {
  /** Canonical, the same for all points that may share it. */
  readonly key: string;
  readonly unit: 'steps' | 'tokens';
  /** budget of the trunk; 0 while none of its points is chosen. */
  readonly budget: number;
  /** checkpoint.keepSteps or keepTokens of the trunk, ascending: branch points of all its points, also of those beyond its present end. */
  readonly keep: readonly number[];
  /** Chosen points, the smallest budget first. */
  readonly branches: readonly Branch<P>[];
}

/** What a trunk keeps at most, as its field allows. */
export const MAX_BRANCH_POINTS = 64;

/** Names what the points of one trunk have in common. */
export function trunkKey(point: Point): string {
  const { size, learningRate, batchTriplets, seed } = point;
  return JSON.stringify({ size, unit: unitOf(point), learningRate, batchTriplets, seed });
}

/**
 * Points by trunk, in order of first appearance. Trunks keep the branch points of all `points` and reach as far as the
 * chosen ones need, so that choosing another one later extends a trunk (raises its budget) and never begins it anew.
 * A trunk with more than 64 branch points becomes several.
 */
export function trunksOf<P extends Point>(points: readonly P[], percent: number, isChosen: (point: P) => boolean = () => true): Trunk<P>[] {
  return [...Map.groupBy(points, trunkKey)].flatMap(([key, all]) => {
    const branches = all.map((point) => branchOf(point, percent)).sort((a, b) => a.budget - b.budget);
    const parts = Math.ceil(branches.length / MAX_BRANCH_POINTS);
    return Array.from({ length: parts }, (_, part) => trunkOf(
      part === 0 ? key : `${key}#${part}`,
      branches.slice(part * MAX_BRANCH_POINTS, (part + 1) * MAX_BRANCH_POINTS),
      isChosen,
    ));
  });
}

function trunkOf<P extends Point>(key: string, all: readonly Branch<P>[], isChosen: (point: P) => boolean): Trunk<P> {
  const branches = all.filter(({ point }) => isChosen(point));
  return {
    key, unit: unitOf(all[0]?.point), budget: Math.max(0, ...branches.map(({ from }) => from)),
    keep: [...new Set(all.map(({ from }) => from))].sort((a, b) => a - b), branches,
  };
}

function branchOf<P extends Point>(point: P, percent: number): Branch<P> {
  const budget = point.steps ?? point.tokens ?? 0;
  return { point, budget, from: branchPoint(budget, percent) };
}

function unitOf(point: Point | undefined): 'steps' | 'tokens' {
  return point?.steps === undefined ? 'tokens' : 'steps';
}

/** Steps (or tokens) before the cooldown, at least 1: as schedule.cooldown_start of the trainer has it for steps. */
export function branchPoint(budget: number, percent: number): number {
  return Math.max(1, budget - Math.floor(budget * percent / 100));
}

/** Step of the checkpoint that a branch continues, once its trunk is Complete: `history` is the trunk's status.checkpoints.history. The last one where a trunk ended a little before its tokens: a budget of tokens is turned into steps by the mean of a sample. */
export function branchStep({ unit, from }: Pick<Trunk, 'unit'> & Pick<Branch, 'from'>, history: readonly CheckpointRecord[]): number | undefined {
  if (unit === 'steps') return history.find(({ step }) => step === from)?.step;
  return firstToReach(history, from) ?? history[0]?.step;
}

/**
 * optimizer.warmupPercent of a trunk: as many steps as its smallest branch would take to warm up as a run of its own,
 * in whole percent and at least 1, so that the branch has a constant rate behind it.
 */
export function trunkWarmupPercent({ budget, keep }: Pick<Trunk, 'budget' | 'keep'>, percent: number): number {
  const [smallest = budget] = keep;
  return percent === 0 ? 0 : Math.min(percent, Math.max(1, Math.floor(percent * smallest / Math.max(1, budget))));
}

/** FLOPs of separate runs over those of a trunk with cooldowns: sum(D) / (D_max + f * sum of the others). */
export function savingsFactor(budgets: readonly number[], percent: number): number {
  const [sum, largest] = [budgets.reduce((total, one) => total + one, 0), Math.max(...budgets)];
  return sum / (largest + percent / 100 * (sum - largest));
}

/** How far each trunk trains already or is going to, in FLOPs, by key. */
export type Reach = ReadonlyMap<string, number>;

/** What starting a point costs: with a trunk its cooldown, and what its trunk has to train further. */
export function addedFlops({ flops, trunk }: Pick<Candidate, 'flops' | 'trunk'>, reach: Reach, percent: number): number {
  if (trunk === undefined) return flops;
  const before = flops * (1 - percent / 100);
  return flops - before + Math.max(0, before - (reach.get(trunk) ?? 0));
}

/** The reach once these points are started as well. */
export function reachOf(points: readonly Pick<Candidate, 'flops' | 'trunk'>[], percent: number, before: Reach = new Map()): Reach {
  const reach = new Map(before);
  for (const { flops, trunk } of points) {
    if (trunk !== undefined) reach.set(trunk, Math.max(reach.get(trunk) ?? 0, flops * (1 - percent / 100)));
  }
  return reach;
}
