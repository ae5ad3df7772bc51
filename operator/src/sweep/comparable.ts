// Which points a law of one X may compare: those that are the same in the other.
import type { Observation } from './fit/types.ts';

export interface Budgeted {
  readonly one: Observation;
  /** Tokens or steps as the axis has them: what was trained differs from run to run by a batch. */
  readonly budget: number;
}

const LEAST = 3;
const SHARE = 2 / 3;

/**
 * For a law over parameters the points of one budget, over tokens those of one size: the largest one with at least three
 * sizes (budgets), and two thirds as many as any other has. All points when there is none: a law of few points carries its own warning.
 */
export function comparable<T extends Budgeted>(points: readonly T[], axis: 'parameters' | 'tokens'): readonly T[] {
  const [x, other] = axis === 'parameters' ? [sizeOf, budgetOf] : [budgetOf, sizeOf];
  const groups = [...Map.groupBy(points, other)].map(([at, group]) => ({ at, group, reach: new Set(group.map(x)).size }));
  const most = Math.max(0, ...groups.map(({ reach }) => reach));
  const enough = groups.filter(({ reach }) => reach >= LEAST && reach >= SHARE * most).sort((a, b) => b.at - a.at);
  return enough[0]?.group ?? points;
}

const sizeOf = ({ one }: Budgeted): number => one.parameters ?? 0;
const budgetOf = ({ budget }: Budgeted): number => budget;
