// What a picture of a law shows, whether it is drawn in characters or in SVG.
import type { At, Axis, Observation } from '../sweep/fit/types.ts';
import type { Law } from './law.ts';
import { SYMBOLS, cheapest, formulaPieces, lossOf } from './law.ts';
import type { Piece } from './law.ts';
import { formatQuantity } from './quantities.ts';

export interface ChartPoint {
  readonly x: number;
  readonly y: number;
  /** Fitted, or kept out of the fit. */
  readonly heldOut: boolean;
  /** Parameters, where they are not the x axis. */
  readonly size?: number;
}

export interface CurvePoint {
  readonly x: number;
  readonly y: number;
  readonly lower?: number;
  readonly upper?: number;
}

export interface Target extends CurvePoint {
  readonly name: string;
}

export interface Chart {
  readonly title: string;
  readonly formula: readonly Piece[];
  readonly note: string;
  readonly xTitle: string;
  readonly formatX: (value: number) => string;
  readonly points: readonly ChartPoint[];
  readonly curve: readonly CurvePoint[];
  /** The largest x that was fitted: the law is an extrapolation beyond. */
  readonly fittedTo: number;
  readonly targets: readonly Target[];
}

export interface ChartSource {
  readonly title: string;
  readonly law: Law;
  readonly note: string;
  readonly fitted: readonly Observation[];
  readonly heldOut: readonly Observation[];
  /** Places with their losses; those that the axis does not know are left out. */
  readonly targets: readonly (At & { readonly name: string; readonly loss: number; readonly lower?: number; readonly upper?: number })[];
  /** Interval of the law at a place, where one is known; a joint law is asked with FLOPs alone. */
  readonly interval?: (at: At) => { readonly lower: number; readonly upper: number };
}

const CURVE_POINTS = 121;
const MAX_POINTS = 5000;
const TITLES: Readonly<Record<Axis, string>> = { parameters: 'parameters N', tokens: 'tokens D', flops: 'training FLOPs C' };

/** A joint law is drawn over FLOPs: its line is the least loss that those FLOPs can buy. */
export function chartOf(source: ChartSource): Chart {
  const { law } = source;
  const axis = law.form === 'joint' ? 'flops' : law.axis ?? 'parameters';
  const xOf = (at: At): number => (law.form === 'joint' ? 6 * (at.parameters ?? Number.NaN) * (at.tokens ?? Number.NaN) : at[axis] ?? Number.NaN);
  const drawn = (observations: readonly Observation[], heldOut: boolean): ChartPoint[] => thinned(observations)
    .map((each) => ({ x: xOf(each), y: each.loss, heldOut, ...(axis === 'parameters' || each.parameters === undefined ? {} : { size: each.parameters }) })).filter(({ x }) => x > 0);
  const points = [...drawn(source.fitted, false), ...drawn(source.heldOut, true)];
  const targets = source.targets.map((target) => ({ ...target, x: xOf(target), y: target.loss })).filter(({ x, y }) => x > 0 && y > 0);
  const curve = curveOf(source, [...points, ...targets].map(({ x }) => x));
  return {
    title: source.title, formula: formulaPieces(law), note: source.note, points, curve, targets,
    xTitle: law.form === 'joint' ? 'training FLOPs C = 6 N D (line: the best N and D for C)' : TITLES[axis],
    formatX: (value) => (axis === 'flops' ? powerOfTen(value) : formatQuantity(SYMBOLS[axis] === 'N' ? 'params' : 'tokens', value)),
    fittedTo: Math.max(...points.filter(({ heldOut }) => !heldOut).map(({ x }) => x)),
  };
}

function powerOfTen(value: number): string {
  return value.toExponential().replace('e+', 'e');
}

function thinned(observations: readonly Observation[]): readonly Observation[] {
  const every = Math.ceil(observations.length / MAX_POINTS);
  return every <= 1 ? observations : observations.filter((_, index) => index % every === 0);
}

function curveOf({ law, interval }: ChartSource, xs: readonly number[]): readonly CurvePoint[] {
  const low = xs.reduce((a, b) => Math.min(a, b), Infinity);
  const high = xs.reduce((a, b) => Math.max(a, b), 0);
  if (!(low < high)) return [];
  return Array.from({ length: CURVE_POINTS }, (_, index) => {
    const x = low * (high / low) ** (index / (CURVE_POINTS - 1));
    const at = law.form === 'joint' ? { flops: x } : { [law.axis ?? 'parameters']: x };
    return { x, y: lossOf(law, law.form === 'joint' ? cheapest(law, x) : at), ...interval?.(at) };
  }).filter(({ y }) => Number.isFinite(y));
}

/** Smallest and largest values of both axes, with a margin. */
export function domains({ points, curve, targets }: Chart): { readonly x: readonly [number, number]; readonly y: readonly [number, number] } {
  const shown = [...points, ...targets];
  const low = Math.min(...shown.map(({ y }) => y));
  const high = Math.max(...shown.map(({ y }) => y));
  // A wide band may leave the picture, the line may not.
  const band = curve.flatMap(({ lower, upper }) => [lower ?? Infinity, upper ?? 0]).filter((y) => y > low / (high / low) ** 0.5 && y < high * (high / low) ** 0.5);
  const bars = targets.flatMap(({ lower, upper }) => [lower, upper]).filter((y) => y !== undefined && y > low / 2 && y < high * 2) as number[];
  const room = targets.length > 0 ? [Math.min(low, ...bars) / (high / low) ** 0.04] : [];
  const ys = [...shown.map(({ y }) => y), ...curve.map(({ y }) => y), ...band, ...bars, ...room];
  return { x: margin(shown.map(({ x }) => x), 0.03), y: margin(ys, 0.05) };
}

function margin(values: readonly number[], share: number): readonly [number, number] {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), 0);
  const factor = low < high ? (high / low) ** share : 1.1;
  return [low / factor, high * factor];
}

/** Round values between low and high for a logarithmic axis, at most `most`. */
export function ticks([low, high]: readonly [number, number], most: number): readonly number[] {
  const decades = Math.log10(high / low);
  if (decades < 0.7) return evenTicks(low, high, most);
  const mantissas = [[1, 2, 5], [1, 3], [1]].find((list) => decades * list.length <= most) ?? [1];
  const stride = Math.max(1, Math.ceil(decades * mantissas.length / most));
  const exponents = Array.from({ length: Math.ceil(decades) + 2 }, (_, index) => Math.floor(Math.log10(low)) + index).filter((exponent) => exponent % stride === 0);
  return exponents.flatMap((exponent) => mantissas.map((mantissa) => Number(`${String(mantissa)}e${String(exponent)}`))).filter((value) => value >= low && value <= high);
}

function evenTicks(low: number, high: number, most: number): readonly number[] {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((each) => each * power >= rough * 0.9) ?? 10) * power;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}
