// The bench's result, as it is written and as people read it.
import type { LawResult, Laws } from './laws.ts';
import type { Confirmation, Replayed } from './planned.ts';

export interface ResultPoint {
  readonly id: string;
  readonly size: string;
  readonly parameters: number;
  readonly steps: number;
  readonly tokens: number;
  readonly flops: number;
  readonly loss: number;
  readonly standard_error: number | undefined;
  readonly unseen_loss?: number | undefined;
  readonly seed: number;
  readonly hours: number;
}

export interface Results extends Laws {
  readonly data: string;
  readonly points: readonly ResultPoint[];
  readonly failed: number;
  readonly planned_flops_over_grid: number;
  readonly replay: Replayed;
  /** A message when it could not be completed. */
  readonly planned_run: Confirmation | string | undefined;
  /** The same for policies that were not trained on, where some were held out. */
  readonly unseen: Laws | string | undefined;
  readonly machine: { readonly cores: number; readonly cpu: string; readonly memory_gib: number; readonly load_at_start: number };
  readonly seconds: number;
}

export const printTables = (results: Results): void => {
  const { replay, planned_run: run } = results;
  console.log(`\nvalidation loss, ${results.points.length} points\n${lossTable(results.points)}`);
  console.log(`\nL(N)    ${lawText(results.fit_params)}\nL(C)    ${lawText(results.fit_compute)}`);
  console.log(`L(N,D)  ${typeof results.fit_joint === 'string' ? results.fit_joint : lawText(results.fit_joint)}`);
  for (const { parameters, measured, predicted, lower, upper } of results.heldout) {
    console.log(`largest size held out, ${parameters} parameters: predicted ${predicted.toFixed(4)} [${lower.toFixed(4)}, ${upper.toFixed(4)}], measured ${measured.toFixed(4)}`);
  }
  console.log(`held-out error ${percent(results.heldout_error)}`);
  console.log(`stress, L(N)    ${stressText(results.stress.parameters)}\nstress, L(C)    ${stressText(results.stress.compute)}`);
  console.log(`planned with cooldowns, by replay: ${percent(replay.planned_flops_over_grid)} of the grid's FLOPs (planned alone ${percent(replay.without_cooldowns_over_grid)}) for an interval of +-${replay.grid_half_width_percent.toFixed(1)} % at ${replay.target.parameters} parameters`);
  if (typeof run === 'string') console.log(`planned run: ${run}`);
  else if (run !== undefined) console.log(`planned run: ${percent(run.flops_over_grid)} of the grid's FLOPs, ${run.points} points, target ${run.loss ?? '-'} +-${run.half_width_percent?.toFixed(1) ?? '-'} %`);
  if (results.unseen !== undefined) console.log(`policies held out: ${typeof results.unseen === 'string' ? results.unseen : `L(N) ${lawText(results.unseen.fit_params)}, held-out error ${percent(results.unseen.heldout_error)}`}`);
};

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/** Sizes down, budgets across, mean over seeds. */
const lossTable = (points: readonly ResultPoint[]): string => {
  const steps = [...new Set(points.map((point) => point.steps))].sort((a, b) => a - b);
  const rows = [...Map.groupBy(points, ({ parameters }) => parameters)].sort(([a], [b]) => a - b).map(([parameters, own]) => {
    const cells = steps.map((budget) => own.filter((point) => point.steps === budget).map(({ loss }) => loss.toFixed(3)).join(' '));
    return [String(parameters), ...cells];
  });
  return [['N', ...steps.map((budget) => `${budget} steps`)], ...rows].map((row) => row.map((cell) => cell.padEnd(16)).join('')).join('\n');
};

const lawText = ({ form, estimates, r2, points, warnings }: LawResult): string => {
  const values = estimates.map(({ name, value, lower, upper }) => `${name} ${short(value)} [${short(lower)}, ${short(upper)}]`).join(', ');
  return `${form}: ${values}; R2 ${r2.toFixed(4)}, ${points} points${warnings.map((warning) => `\n          ${warning}`).join('')}`;
};

const short = (value: number): string => String(Number(value.toPrecision(4)));

const stressText = ({ extremes, proportional }: Laws['stress']['parameters']): string =>
  [['extremes alone', extremes] as const, ['data in proportion to size', proportional] as const].map(([name, found]) => {
    if ('skipped' in found) return `${name}: ${found.skipped}`;
    const shifts = found.exponents.map((one) => `${one.name} ${short(one.whole)} -> ${short(one.refit)}`).join(', ');
    return `${name}: ${shifts}${found.heldOut === undefined ? '' : `, held-out error ${percent(found.heldOut.error)}`}, rms ${found.rms.toFixed(4)}`;
  }).join('; ');
