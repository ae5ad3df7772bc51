// What is known of a law in the ways that it may be: at the estimates of a fit and at parameters that the data admit as well.
import { valueOf } from '../fit/columns.ts';
import { bestSplit } from '../fit/lawAt.ts';
import type { At, Fit } from '../fit/types.ts';
import type { Candidate, Law } from './candidate.ts';
import { Knowledge, assumed, axesOf, frameOf, linearAt } from './linear.ts';
import type { Coordinates, Frame, Linear, Slope } from './linear.ts';

/** One way that the law may be: its linearisation at every candidate and at the target. */
export interface View {
  readonly knowledge: Knowledge;
  readonly target: Slope;
  readonly slopes: readonly Slope[];
}

/** What a design is made for. */
export interface Views {
  readonly law: Law;
  readonly fit?: Fit | undefined;
  readonly target: At;
  /** Measured, or going to be. */
  readonly known: readonly Candidate[];
  readonly left: readonly Candidate[];
}

/** Scatter of ln loss between runs: assumed while there is no fit, and no less than the least, whatever a fit of few points says. */
const ASSUMED_SCATTER = 0.01;
const LEAST_SCATTER = 0.001;
/** Parameter vectors of a fit's samples that count beside its estimates. */
const SAMPLES = 7;
/** Tokens per parameter where compute alone is asked for and no law says how to split it. */
const TOKENS_PER_PARAMETER = 20;

export function viewsOf({ law, fit, target, known, left }: Views): View[] {
  const frame = frameOf(law, [...known, ...left]);
  const places = left.map(frame.placeOf);
  const noise = Math.max(LEAST_SCATTER, fit?.scatter ?? ASSUMED_SCATTER) ** 2;
  const targetPlace = frame.placeOf(coordinatesOf(law, fit, target));
  return waysOf(frame, fit).map((linear) => {
    const knowledge = new Knowledge(linear.prior, noise);
    for (const point of known) knowledge.learn(linear.slope(frame.placeOf(point)));
    return { knowledge, target: linear.slope(targetPlace), slopes: places.map(linear.slope) };
  });
}

/** Standard deviation of ln law at the target, at the estimates and the scatter of a fit. */
export function uncertaintyOf(views: Views): number {
  const [first] = viewsOf(views);
  return first === undefined ? Infinity : Math.sqrt(first.knowledge.variance(first.target));
}

function waysOf(frame: Frame, fit: Fit | undefined): Linear[] {
  if (fit?.form !== frame.law.form) return [assumed(frame.law)];
  const { samples, estimates } = fit;
  const some = Array.from({ length: Math.min(SAMPLES, samples.length) }, (_, i) => samples[Math.floor(i * samples.length / SAMPLES)] ?? []);
  const ways = [estimates.map(({ value }) => value), ...some].flatMap((values) => linearAt(frame, values) ?? []);
  return ways.length === 0 ? [assumed(frame.law)] : ways;
}

/** The target in the axes of the law; compute alone is split as the fit says is best. */
function coordinatesOf(law: Law, fit: Fit | undefined, target: At): Coordinates {
  const { parameters, tokens, flops } = target;
  if (law.form === 'joint' && parameters === undefined && tokens === undefined && flops !== undefined) {
    const assumedSize = Math.sqrt(flops / (6 * TOKENS_PER_PARAMETER));
    const [size, budget] = fit?.form === 'joint' ? bestSplit(fit.estimates.map(({ value }) => value), flops) : [assumedSize, TOKENS_PER_PARAMETER * assumedSize];
    return { parameters: size, tokens: budget };
  }
  return Object.fromEntries(axesOf(law).map((axis) => [axis, valueOf(target, axis) ?? missing(axis)]));
}

function missing(axis: string): never {
  throw new RangeError(`target.${axis}: expected a number above 0, got nothing`);
}
