// How often the 95 % intervals of a law hold what generated runs were drawn from.
import { fitLaw } from '../../operator/src/sweep/fit/fit.ts';
import { predict } from '../../operator/src/sweep/fit/predict.ts';
import { seeded, studentFactor } from '../../operator/src/sweep/fit/random.ts';
import type { Random } from '../../operator/src/sweep/fit/random.ts';
import type { Observation } from '../../operator/src/sweep/fit/types.ts';

/** A kind of table: sizes x token budgets (one budget for the offset form), with scatter of ln loss. */
export interface Case {
  readonly form: 'offset' | 'joint';
  readonly sizes: number;
  readonly budgets: number;
  readonly scatter: number;
  readonly noise: 'normal' | 'heavy' | 'outliers';
}

export interface Coverage extends Case {
  readonly points: number;
  /** Per cent of the seeds, by parameter; `loss` is the law ten times beyond the largest size, `run` one run there. */
  readonly covered: Readonly<Record<string, number>>;
  readonly seconds: number;
}

const TRUE = { E: 1.69, A: 406.4, B: 410.7, alpha: 0.34, beta: 0.28 };
const SPAN = 30;
const SMALLEST = 3e7;

/** Student's t with 3 degrees, or one in ten ten times as wide, or normal. */
function draw(random: Random, noise: Case['noise']): number {
  if (noise === 'heavy') return random.normal() * studentFactor(random, 3);
  return random.normal() * (noise === 'outliers' && random.index(10) === 0 ? 10 : 1);
}

function lossAt(form: Case['form'], parameters: number, tokens: number): number {
  return TRUE.E + TRUE.A * parameters ** -TRUE.alpha + (form === 'joint' ? TRUE.B * tokens ** -TRUE.beta : 0);
}

function runsOf(of: Case, random: Random): Observation[] {
  const along = (i: number, count: number): number => SPAN ** (i / Math.max(1, count - 1));
  return Array.from({ length: of.sizes * of.budgets }, (_, i) => {
    const parameters = SMALLEST * along(i % of.sizes, of.sizes);
    const tokens = parameters * 5 * along(Math.floor(i / of.sizes), of.budgets);
    return { parameters, tokens, loss: lossAt(of.form, parameters, tokens) * Math.exp(of.scatter * draw(random, of.noise)) };
  });
}

/** What one seed's table covers, by name. */
function coveredBy(of: Case, seed: number, resamples: number): Record<string, boolean> {
  const random = seeded(seed);
  const fit = fitLaw(runsOf(of, random), { form: of.form, bootstrap: resamples, seed });
  const truth: Record<string, number> = of.form === 'joint' ? TRUE : { E: TRUE.E, b: TRUE.A, a: TRUE.alpha };
  const far = { parameters: 10 * SMALLEST * SPAN, tokens: 200 * SMALLEST * SPAN };
  const loss = lossAt(of.form, far.parameters, far.tokens);
  const { lower, upper, runLower, runUpper } = predict(fit, far);
  const run = loss * Math.exp(of.scatter * draw(random, of.noise));
  const parameters = fit.estimates.map((estimate) => [estimate.name, estimate.lower <= truth[estimate.name]! && truth[estimate.name]! <= estimate.upper] as const);
  return { ...Object.fromEntries(parameters), loss: lower <= loss && loss <= upper, run: runLower <= run && run <= runUpper };
}

export function coverageOf(of: Case, seeds: number, resamples: number): Coverage {
  const startedAt = performance.now();
  const counts: Record<string, number> = {};
  for (let seed = 0; seed < seeds; seed++) {
    for (const [name, holds] of Object.entries(coveredBy(of, seed, resamples))) counts[name] = (counts[name] ?? 0) + (holds ? 1 : 0);
  }
  const covered = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, Math.round((1000 * count) / seeds) / 10]));
  return { ...of, points: of.sizes * of.budgets, covered, seconds: Math.round((performance.now() - startedAt) / 100) / 10 };
}

/** Processor seconds of a joint fit with 1,000 resamples of that many points. */
export function secondsOf(points: number): number {
  const runs = runsOf({ form: 'joint', sizes: 20, budgets: points / 20, scatter: 0.005, noise: 'normal' }, seeded(1));
  const before = process.cpuUsage();
  fitLaw(runs, { form: 'joint', bootstrap: 1000 });
  const { user, system } = process.cpuUsage(before);
  return Math.round((user + system) / 1e4) / 100;
}
