// What the design of a sweep weighs: points with what they cost, and what is known already. Plain data.
import type { At, Axis, Form } from '../fit/types.ts';

/** A point that may be started. `parameters` is counted as the fit counts it. */
export interface Candidate {
  readonly id: string;
  readonly parameters: number;
  /** Corpus tokens of its whole budget. */
  readonly tokens: number;
  /** FLOPs of the point as a run of its own. */
  readonly flops: number;
  readonly gpuHours?: number;
  /** Points with the same trunk are branches of one run (trunkKey); absent: a run of its own. */
  readonly trunk?: string;
}

/** A point that has ended with a loss. */
export interface Measured extends Candidate {
  readonly loss: number;
}

/** The law that is to be known. */
export interface Law {
  readonly form: Form;
  /** X of power and offset. */
  readonly axis?: Axis;
}

/** What may still be spent; no bound where absent. */
export interface Remaining {
  readonly flops?: number;
  readonly gpuHours?: number;
}

/** Joint when both sizes and budgets vary among the points, otherwise `single` over the axis that does. */
export function lawOf(points: readonly Candidate[], single: 'power' | 'offset'): Law {
  const levels = (axis: 'parameters' | 'tokens'): number => new Set(points.map((point) => point[axis])).size;
  if (levels('parameters') > 1 && levels('tokens') > 1) return { form: 'joint' };
  return { form: single, axis: levels('tokens') > 1 ? 'tokens' : 'parameters' };
}

/** Where a point lies for a law. */
export function placeOf({ parameters, tokens, flops }: Candidate): Required<At> {
  return { parameters, tokens, flops };
}
