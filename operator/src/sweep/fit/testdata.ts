import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { seeded } from './random.ts';
import type { Observation } from './types.ts';

// Tables and generated runs for the tests of the fits.

const SHARED = join(import.meta.dirname, '../../../../../shared/data/chinchilla_points.csv');

/** Why the published points cannot be read here; undefined when they can. */
export const noPublishedPoints = existsSync(SHARED) ? undefined : 'shared/data/chinchilla_points.csv is not beside the repository';

function table(path: string): Record<string, number>[] {
  const [head = '', ...lines] = readFileSync(path, 'utf8').trim().split('\n');
  const names = head.split(',');
  return lines.map((line) => Object.fromEntries(line.split(',').map((value, i) => [names[i] ?? '', Number(value)])));
}

/** The 245 published runs. */
export function publishedPoints(): Observation[] {
  return table(SHARED).map((row) => ({ parameters: row['Model Size']!, flops: row['Training FLOP']!, loss: row['loss']! }));
}

/** The 240 that the published fits keep: those below the fifth largest loss. */
export function keptPoints(): Observation[] {
  const points = publishedPoints();
  const fifth = points.map((point) => point.loss).sort((left, right) => right - left)[4]!;
  return points.filter((point) => point.loss < fifth);
}

/** 48 runs drawn from E 1.7, A 400, B 410, alpha 0.34, beta 0.28 with 0.3 % of scatter. */
export function generatedPoints(): Observation[] {
  return table(join(import.meta.dirname, 'testdata/joint.csv')).map((row) => ({ parameters: row['parameters']!, tokens: row['tokens']!, loss: row['loss']! }));
}

/** Compute and best size, from a published study of the compute-optimal size. */
export const TWELVE: readonly (readonly [number, number])[] = [
  [1.25e16, 1.2536e7], [2.5e16, 1.6149e7], [5e16, 2.6051e7], [1e17, 3.1264e7], [2e17, 4.3659e7], [4e17, 6.6621e7],
  [8e17, 9.2528e7], [1.6e18, 1.28023e8], [3.2e18, 1.71278e8], [6.4e18, 2.91948e8], [1.28e19, 3.73543e8], [2.56e19, 5.34704e8],
];

/** Runs at sizes evenly spaced in their logs, with losses of `law` and normal scatter of ln loss. */
export function drawnRuns(law: (parameters: number) => number, of: { readonly sizes: number; readonly span: number; readonly scatter: number; readonly seed: number }): Observation[] {
  const random = seeded(of.seed);
  return Array.from({ length: of.sizes }, (_, i) => {
    const parameters = 1e7 * of.span ** (i / (of.sizes - 1));
    return { parameters, loss: law(parameters) * Math.exp(of.scatter * random.normal()) };
  });
}

/** The estimate of that name. */
export function valueNamed<T extends { readonly name: string }>(estimates: readonly T[], name: string): T {
  const found = estimates.find((estimate) => estimate.name === name);
  if (found === undefined) throw new Error(`no estimate ${name}`);
  return found;
}

export function within(got: number, wanted: number, relative: number): boolean {
  return Math.abs(got / wanted - 1) <= relative;
}
