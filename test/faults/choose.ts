// Which of the generated plans are run: all, or a share of each row that a seed chooses.
import type { Plan } from './plan.ts';
import { seeded, shuffled } from './random.ts';
import type { Candidate } from './candidates.ts';

/** How many plans of a row a default run takes. */
export const SHARE: Readonly<Record<string, number>> = {
  '1': 40, '2': 10, '4': 10, '5': 14, '6': 12, '8': 5, '9': 16, '9s': 4, '10': 10, '11': 14, '12': 10, '17': 16, '20': 7, '21': 12, '22': 4, 'hostile': 3, '24': 6, '25': 9, '28': 1, '29': 3,
};

/** The chosen plans; those of one workload are not preferred to another's. */
export function choose(candidates: readonly Candidate[], seed: number, all: boolean): readonly Plan[] {
  const worth = candidates.filter(({ pruned }) => pruned === undefined).map(({ plan }) => plan);
  if (all) return worth;
  const random = seeded(seed);
  const rows = [...new Set(worth.map(({ row }) => row))];
  return rows.flatMap((row) => spread(shuffled(worth.filter((plan) => plan.row === row), random)).slice(0, SHARE[row] ?? 5));
}

/** In turn from each workload. */
function spread(plans: readonly Plan[]): readonly Plan[] {
  const nth = new Map<string, number>();
  const ranked = plans.map((plan) => {
    const rank = nth.get(plan.workload) ?? 0;
    nth.set(plan.workload, rank + 1);
    return { plan, rank };
  });
  return ranked.sort((a, b) => a.rank - b.rank).map(({ plan }) => plan);
}
