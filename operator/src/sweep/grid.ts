// The points of the axes with what each is expected to cost. Pure.
import { parseCount } from '../api/scalars.ts';
import type { Architecture } from '../api/sizes.ts';
import { SIZES, parametersWithoutEmbedding } from '../api/sizes.ts';
import type { SweepSpec } from '../api/sweep.ts';
import { pointId } from './naming.ts';
import type { Point } from './point.ts';

type Size = NonNullable<SweepSpec['axes']['sizes']>[number];

export interface GridPoint {
  readonly id: string;
  readonly point: Point;
  /** How the run names its size. */
  readonly model: Size;
  /** Outside the embedding. */
  readonly parameters: number;
}

/** Every combination of the axes once, in the order of the axes. */
export function gridOf(spec: SweepSpec): readonly GridPoint[] {
  const { template: { optimizer, seed }, axes } = spec;
  const rates = (axes.learningRates ?? [optimizer.learningRate]).map(canonical);
  const optimizers = rates.flatMap((learningRate) => (axes.batchTriplets ?? [optimizer.batchTriplets]).map((batchTriplets) => ({ learningRate, batchTriplets })));
  const found = new Map<string, GridPoint>();
  for (const model of sizesOf(spec)) {
    const size = sizeName(model);
    const parameters = parametersWithoutEmbedding(architectureOf(model));
    const rests = budgetsOf(spec).flatMap((budget) => optimizers.flatMap((one) => (axes.seeds ?? [seed]).map((of) => ({ ...budget, ...one, seed: of }))));
    for (const rest of rests) {
      const point: Point = { size, ...rest };
      const id = pointId(point);
      if (!found.has(id)) found.set(id, { id, point, model, parameters });
    }
  }
  return [...found.values()];
}

/** Corpus tokens of a budget. Budgets in steps take `tokensPerTriplet`, measured or assumed. */
export function tokensOf({ tokens, steps, batchTriplets }: Point, tokensPerTriplet: number): number {
  return tokens ?? (steps ?? 0) * (batchTriplets === 'auto' ? 1 : batchTriplets) * tokensPerTriplet;
}

/** The most corpus tokens that a group (prompt, reference, positive and negatives) can have. */
export function mostTokensPerTriplet({ template: { data: { maxLength, maxResponseLength, negativesPerPositive } } }: SweepSpec): number {
  return maxLength + negativesPerPositive * maxResponseLength;
}

/** 6 N D. */
export function naiveFlops(parameters: number, tokens: number): number {
  return 6 * parameters * tokens;
}

/** "0.0030" and "3e-3" are the same rate. */
export function canonical(rate: string): string {
  return Number.isFinite(Number(rate)) ? String(Number(rate)) : rate;
}

export function sizeName({ size, architecture }: Size): string {
  if (size !== undefined) return size;
  if (architecture === undefined) throw new Error('a size has neither a name nor an architecture');
  const { hiddenSize, numLayers, numHeads, numKeyValueHeads, intermediateSize, ropeTheta } = architecture;
  return `h${hiddenSize}-l${numLayers}-a${numHeads}-k${numKeyValueHeads}-i${intermediateSize}-r${ropeTheta}`;
}

function sizesOf({ axes, template: { model } }: SweepSpec): readonly Size[] {
  if (axes.sizes !== undefined) return axes.sizes;
  return [model.architecture === undefined ? { size: model.size } : { architecture: model.architecture }];
}

function architectureOf({ size, architecture }: Size): Architecture {
  const of = architecture ?? (size === undefined ? undefined : SIZES[size]);
  if (of === undefined) throw new Error('a size has neither a name nor an architecture');
  return of;
}

function budgetsOf({ axes: { tokens, steps = [] } }: SweepSpec): readonly Pick<Point, 'tokens' | 'steps'>[] {
  return tokens === undefined ? steps.map((one) => ({ steps: one })) : tokens.map((text) => ({ tokens: parseCount(text) }));
}
