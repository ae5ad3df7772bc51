// A law linearised at one parameter vector, and what measurements tell about it: Gaussian information in log space.
import type { Axis } from '../fit/types.ts';
import type { Law } from './candidate.ts';

/** Derivatives of ln law by its free parameters: power (ln b, a), sums ([ln E,] ln of each coefficient, the exponents). */
export type Slope = Float64Array;

/** Where a point lies, per term of the law: ln X minus the centre. */
export type Place = readonly number[];

export interface Linear {
  readonly slope: (place: Place) => Slope;
  /** Inverse variances of the prior, per free parameter. */
  readonly prior: Slope;
}

/** Standard deviations before anything is measured: losses are between 0 and 1, exponents a few tenths. */
const PRIOR = { offset: 0.5, coefficient: 1, exponent: 0.3 };
/** Of a law of which nothing is known: half of the loss is irreducible, the terms share the rest. */
const EXPONENT = 0.3;

export function axesOf({ form, axis = 'parameters' }: Law): readonly Axis[] {
  return form === 'joint' ? ['parameters', 'tokens'] : [axis];
}

/** Coordinates that are centred on a set of points: coefficients are then those of the law in their midst. */
export interface Frame {
  readonly law: Law;
  readonly centre: readonly number[];
  readonly placeOf: (point: Coordinates) => Place;
}

/** ln X of each axis comes from here; those that the law does not have are not read. */
export type Coordinates = Readonly<Partial<Record<Axis, number>>>;

export function frameOf(law: Law, points: readonly Coordinates[]): Frame {
  const axes = axesOf(law);
  const ln = (point: Coordinates, axis: Axis): number => Math.log(point[axis] ?? Number.NaN);
  const centre = axes.map((axis) => points.reduce((sum, point) => sum + ln(point, axis), 0) / Math.max(1, points.length));
  return { law, centre, placeOf: (point) => axes.map((axis, k) => ln(point, axis) - centre[k]!) };
}

/** Number of free parameters. */
export function parametersOf({ form }: Law): number {
  return { power: 2, offset: 3, joint: 5 }[form];
}

/** The law before anything is known of it. */
export function assumed(law: Law): Linear {
  const terms = axesOf(law).length;
  return linearOf(law, law.form === 'power' ? [0, EXPONENT] : [Math.log(0.5), ...Array<number>(terms).fill(Math.log(0.5 / terms)), ...Array<number>(terms).fill(EXPONENT)]);
}

/** The law at a parameter vector of a fit (natural scale, order of its estimates); undefined when the vector is none of the law. */
export function linearAt({ law, centre }: Frame, values: readonly number[]): Linear | undefined {
  if (values.length !== parametersOf(law) || values.some((value) => !Number.isFinite(value))) return undefined;
  if (law.form === 'power') return linearOf(law, [0, -values[1]!]);
  const terms = centre.length;
  const exponents = values.slice(1 + terms);
  const coefficients = values.slice(1, 1 + terms).map((value, k) => Math.log(value) - exponents[k]! * centre[k]!);
  return linearOf(law, [Math.log(values[0]!), ...coefficients, ...exponents]);
}

function linearOf(law: Law, theta: readonly number[]): Linear {
  if (law.form === 'power') return { slope: ([x = 0]) => Float64Array.of(1, x), prior: Float64Array.of(PRIOR.coefficient ** -2, PRIOR.exponent ** -2) };
  const terms = axesOf(law).length;
  const [coefficients, exponents] = [theta.slice(1, 1 + terms), theta.slice(1 + terms)];
  return {
    slope: (place) => {
      const summands = [theta[0]!, ...coefficients.map((c, k) => c - exponents[k]! * place[k]!)];
      const top = Math.max(...summands);
      const weights = summands.map((summand) => Math.exp(summand - top));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const shares = weights.map((weight) => weight / total);
      return Float64Array.of(...shares, ...place.map((x, k) => -shares[k + 1]! * x));
    },
    prior: Float64Array.of(PRIOR.offset ** -2, ...Array<number>(terms).fill(PRIOR.coefficient ** -2), ...Array<number>(terms).fill(PRIOR.exponent ** -2)),
  };
}

/** Covariance of the free parameters, updated one measurement at a time (rows of a square matrix, one after the other). */
export class Knowledge {
  readonly #size: number;
  readonly #covariance: Float64Array;
  readonly #noise: number;

  /** `noise` is the variance of ln loss of one run. */
  constructor(prior: Slope, noise: number) {
    this.#size = prior.length;
    this.#noise = noise;
    this.#covariance = new Float64Array(prior.length ** 2);
    prior.forEach((precision, i) => { this.#covariance[i * prior.length + i] = 1 / precision; });
  }

  /** Covariance times a slope. */
  times(slope: Slope): Float64Array {
    const product = new Float64Array(this.#size);
    for (let i = 0; i < this.#size; i++) for (let j = 0; j < this.#size; j++) product[i]! += this.#covariance[i * this.#size + j]! * slope[j]!;
    return product;
  }

  /** Variance of ln law where the slope is this. */
  variance(slope: Slope): number {
    let sum = 0;
    for (let i = 0, at = 0; i < this.#size; i++) for (let j = 0; j < this.#size; j++, at++) sum += slope[i]! * slope[j]! * this.#covariance[at]!;
    return sum;
  }

  /** By how much a measurement at `at` cuts a variance; `toTarget` is the covariance times the slope there. */
  cut(at: Slope, toTarget: Float64Array): number {
    return dot(at, toTarget) ** 2 / (this.#noise + this.variance(at));
  }

  /** A measurement is made, or going to be. */
  learn(at: Slope): void {
    const product = this.times(at);
    const scale = 1 / (this.#noise + dot(at, product));
    for (let i = 0; i < this.#size; i++) for (let j = 0; j < this.#size; j++) this.#covariance[i * this.#size + j]! -= scale * product[i]! * product[j]!;
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
