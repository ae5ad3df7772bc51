import { axesOf, valueOf } from './columns.ts';
import { FitError } from './error.ts';
import { drawn } from './drawn.ts';
import { bestSplit, lawAt, slopesAt } from './lawAt.ts';
import { ascending, quantile, studentQuantile } from './numbers.ts';
import type { Amount, At, Axis, Fit, Needed, Prediction } from './types.ts';

/**
 * The loss at a size, an amount of tokens or of compute, with the interval of the law and the interval of one run.
 * A joint law that is given only flops is asked at the best split of them, C = 6 N D.
 * @throws FitError naming the column that is missing
 */
export function predict(fit: Fit, at: At): Prediction {
  const values = fit.estimates.map((estimate) => estimate.value);
  const place = (parameters: readonly number[]): readonly number[] => placeOf(fit, at, parameters);
  const x = place(values);
  const loss = lawAt(fit.form, values, x);
  const [down, up] = fit.form === 'power' || fit.samples.length < 2 ? byCovariance(fit, values, x) : bySamples(fit, loss, place);
  const noise = studentQuantile(fit.confidence, fit.degreesOfFreedom) * fit.scatter;
  return { loss, lower: loss * Math.exp(-down), upper: loss * Math.exp(up), runLower: loss * Math.exp(-Math.hypot(down, noise)), runUpper: loss * Math.exp(Math.hypot(up, noise)) };
}

function placeOf(fit: Fit, at: At, parameters: readonly number[]): readonly number[] {
  for (const [name, value] of Object.entries(at) as [Axis, number | undefined][]) {
    if (value !== undefined && !(Number.isFinite(value) && value > 0)) throw new FitError(`at.${name}`, 'a finite number above 0', String(value));
  }
  if (fit.form === 'joint' && at.parameters === undefined && at.tokens === undefined && at.flops !== undefined) return bestSplit(parameters, at.flops);
  return axesOf(fit.form, fit.axis).map((axis) => {
    const value = valueOf(at, axis);
    if (value === undefined) throw new FitError(`at.${axis}`, 'a number above 0, or the two columns to take it from', 'nothing');
    return value;
  });
}

/** Distances in ln loss, down and up, that hold the confidence of the law. */
function byCovariance(fit: Fit, values: readonly number[], x: readonly number[]): [number, number] {
  const slopes = slopesAt(fit.form, values, x);
  let variance = 0;
  slopes.forEach((left, p) => { slopes.forEach((right, q) => { variance += left * right * fit.covariance[p]![q]!; }); });
  const wide = Math.min(50, studentQuantile(fit.confidence, fit.degreesOfFreedom) * Math.sqrt(Math.max(0, variance)));
  return [wide, wide];
}

function bySamples(fit: Fit, loss: number, place: (parameters: readonly number[]) => readonly number[]): [number, number] {
  const logs = ascending(fit.samples.map((sample) => Math.log(lawAt(fit.form, sample, place(sample)) / loss)));
  const tail = (1 - fit.confidence) / 2;
  return [Math.max(0, -quantile(logs, tail)), Math.max(0, quantile(logs, 1 - tail))];
}

/**
 * What a loss needs: X of a power or offset law; of a joint law the cheapest parameters, tokens and flops (C = 6 N D),
 * or the tokens for given parameters, or the parameters for given tokens. `unreachable` when the law never gets there.
 * @throws FitError when the loss is no positive number
 */
export function needed(fit: Fit, loss: number, at: At = {}): Needed | 'unreachable' {
  if (!(Number.isFinite(loss) && loss > 0)) throw new FitError('loss', 'a finite number above 0', String(loss));
  const amounts = (values: readonly number[]): Partial<Record<Axis, number>> => (fit.form === 'joint' ? joint(values, loss, at) : { [fit.axis ?? 'parameters']: single(fit, values, loss) });
  const here = amounts(fit.estimates.map((estimate) => estimate.value));
  if (!Object.values(here).every((value) => Number.isFinite(value) && value > 0)) return 'unreachable';
  const sampled = (fit.samples.length > 1 ? fit.samples : drawn(fit, 1000)).map(amounts);
  return Object.fromEntries((Object.entries(here) as [Axis, number][]).map(([axis, value]) => [axis, interval(value, sampled.map((sample) => sample[axis]!), fit.confidence)]));
}

function interval(value: number, samples: readonly number[], confidence: number): Amount {
  const sorted = ascending(samples.map((sample) => (Number.isNaN(sample) ? Infinity : sample)));
  const tail = (1 - confidence) / 2;
  const upper = Math.max(value, quantile(sorted, 1 - tail));
  const lower = Math.min(value, quantile(sorted, tail));
  return Number.isFinite(upper) ? { value, lower, upper } : { value, lower };
}

/** X where b X^a, or E + b X^-a, is the loss; infinite when it never is. */
function single(fit: Fit, values: readonly number[], loss: number): number {
  if (fit.form === 'power') return values[1]! < 0 ? (loss / values[0]!) ** (1 / values[1]!) : Infinity;
  return inverse(loss - values[0]!, values[1]!, values[2]!);
}

function inverse(rest: number, coefficient: number, exponent: number): number {
  return rest > 0 && exponent > 0 ? Math.exp(Math.log(coefficient / rest) / exponent) : Infinity;
}

function joint(values: readonly number[], loss: number, at: At): Partial<Record<Axis, number>> {
  const [E, A, B, alpha, beta] = values as [number, number, number, number, number];
  if (at.parameters !== undefined) {
    const tokens = inverse(loss - E - A * at.parameters ** -alpha, B, beta);
    return { tokens, flops: 6 * at.parameters * tokens };
  }
  if (at.tokens !== undefined) {
    const parameters = inverse(loss - E - B * at.tokens ** -beta, A, alpha);
    return { parameters, flops: 6 * parameters * at.tokens };
  }
  const rest = loss - E;
  const parameters = inverse((rest * beta) / (alpha + beta), A, alpha);
  const tokens = inverse((rest * alpha) / (alpha + beta), B, beta);
  return { parameters, tokens, flops: 6 * parameters * tokens };
}
