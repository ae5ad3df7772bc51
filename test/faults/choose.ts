// Which of the generated plans are run: all, or a share of each row that a seed chooses.
import type { Plan } from './plan.ts';
import { seeded, shuffled } from './random.ts';
import type { Candidate } from './candidates.ts';

/** How many plans of a row a default run takes. */
export const SHARE: Readonly<Record<string, number>> = {
  '1': 30, '2': 8, '4': 10, '5': 10, '6': 8, '8': 4, '9': 12, '9s': 2, '10': 8, '11': 10, '12': 8, '17': 14, '20': 7, '21': 10, '22': 4, 'hostile': 2, '24': 5, '25': 8, '28': 1, '29': 2,
  'budget': 8, 'clock': 8, 'rules': 5, 'token': 2, 'stored': 3, 'long': 1,
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
