import type { Form } from './types.ts';

/** The loss that a law with these parameters (natural scale, order of the estimates) gives. */
export function lawAt(form: Form, values: readonly number[], x: readonly number[]): number {
  if (form === 'power') return values[0]! * x[0]! ** values[1]!;
  const terms = x.length;
  let loss = values[0]!;
  for (let k = 0; k < terms; k++) loss += Math.exp(Math.log(values[1 + k]!) - values[1 + terms + k]! * Math.log(x[k]!));
  return loss;
}

/** Parameters and tokens with the lowest loss for C = 6 N D under [E, A, B, alpha, beta]. */
export function bestSplit(parameters: readonly number[], flops: number): [number, number] {
  const [, A, B, alpha, beta] = parameters as [number, number, number, number, number];
  const product = Math.log(flops / 6);
  const lnN = (Math.log((alpha * A) / (beta * B)) + beta * product) / (alpha + beta);
  const held = Number.isFinite(lnN) ? Math.min(product, Math.max(0, lnN)) : product / 2;
  return [Math.exp(held), Math.exp(product - held)];
}

/** Derivatives of ln L by the parameters of `covariance`. */
export function slopesAt(form: Form, values: readonly number[], x: readonly number[]): number[] {
  if (form === 'power') return [1, Math.log(x[0]!)];
  const terms = x.length;
  const loss = lawAt(form, values, x);
  const shares = x.map((value, k) => Math.exp(Math.log(values[1 + k]!) - values[1 + terms + k]! * Math.log(value)) / loss);
  return [values[0]! / loss, ...shares, ...shares.map((share, k) => -share * Math.log(x[k]!))];
}
