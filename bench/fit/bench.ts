// Coverage of the intervals of the offset and joint laws, and how long a fit takes. Run by `make bench-fit`.
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { repositoryRoot } from '../../local/src/paths.ts';
import { coverageOf, secondsOf } from './coverage.ts';
import type { Case, Coverage } from './coverage.ts';

/** Below it the bench fails. */
const LEAST = 88;

const CASES: readonly Case[] = [
  { form: 'offset', sizes: 5, budgets: 1, scatter: 0.002, noise: 'normal' },
  { form: 'offset', sizes: 8, budgets: 1, scatter: 0.001, noise: 'normal' },
  { form: 'offset', sizes: 8, budgets: 1, scatter: 0.005, noise: 'normal' },
  { form: 'offset', sizes: 8, budgets: 1, scatter: 0.02, noise: 'normal' },
  { form: 'offset', sizes: 12, budgets: 1, scatter: 0.005, noise: 'heavy' },
  { form: 'offset', sizes: 40, budgets: 1, scatter: 0.005, noise: 'outliers' },
  { form: 'joint', sizes: 4, budgets: 2, scatter: 0.003, noise: 'normal' },
  { form: 'joint', sizes: 4, budgets: 3, scatter: 0.001, noise: 'normal' },
  { form: 'joint', sizes: 5, budgets: 5, scatter: 0.005, noise: 'normal' },
  { form: 'joint', sizes: 5, budgets: 5, scatter: 0.02, noise: 'normal' },
  { form: 'joint', sizes: 8, budgets: 8, scatter: 0.005, noise: 'outliers' },
];

const { values } = parseArgs({ options: { seeds: { type: 'string', default: '200' }, resamples: { type: 'string', default: '200' }, out: { type: 'string' } } });
const seeds = Number(values.seeds);
const resamples = Number(values.resamples);

function line(coverage: Coverage): string {
  const shares = Object.entries(coverage.covered).map(([name, share]) => `${name} ${share.toFixed(1)}`).join('  ');
  return `${coverage.form.padEnd(6)} ${String(coverage.points).padStart(3)} points  ${(100 * coverage.scatter).toFixed(1).padStart(4)} % ${coverage.noise.padEnd(8)}  ${shares}  (${coverage.seconds} s)`;
}

console.log(`per cent of ${seeds} seeds covered by 95 % intervals of ${resamples} resamples`);
const coverages = CASES.map((of) => {
  const coverage = coverageOf(of, seeds, resamples);
  console.log(line(coverage));
  return coverage;
});
const seconds = Object.fromEntries([60, 240, 1000].map((points) => [points, secondsOf(points)]));
console.log(`processor seconds of a joint fit with 1,000 resamples, by points: ${JSON.stringify(seconds)}`);

const whole = seeds === 200 && resamples === 200;
const out = values.out ?? (whole ? join(repositoryRoot, 'bench/results/fit.json') : undefined);
const lowest = Math.min(...coverages.flatMap((coverage) => Object.values(coverage.covered)));
const results = { seeds, resamples, lowest_coverage: lowest, least_coverage: LEAST, coverage: coverages, seconds_of_joint_fit_by_points: seconds, cpu: cpus()[0]?.model, node: process.version };
if (out !== undefined) writeFileSync(out, `${JSON.stringify(results, undefined, 1)}\n`);
if (lowest < LEAST) {
  console.error(`an interval covers only ${lowest} %: at least ${LEAST} % are wanted`);
  process.exitCode = 1;
}
