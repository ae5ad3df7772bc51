// A law as text and as a line to draw: from a fit made here, or from the status of a sweep.
import { bestSplit, lawAt } from '../sweep/fit/lawAt.ts';
import type { At, Axis, Form } from '../sweep/fit/types.ts';

export interface Law {
  readonly form: Form;
  /** Absent for joint. */
  readonly axis?: Axis;
  /** By name: power b, a; offset E, b, a; joint E, A, B, alpha, beta. */
  readonly values: Readonly<Record<string, number>>;
}

/** A piece of a formula; exponents are raised where that can be shown. */
export interface Piece {
  readonly text: string;
  readonly raised?: boolean;
}

export const SYMBOLS: Readonly<Record<Axis, string>> = { parameters: 'N', tokens: 'D', flops: 'C' };
export const PARAMETERS: Readonly<Record<Form, readonly string[]>> = { power: ['b', 'a'], offset: ['E', 'b', 'a'], joint: ['E', 'A', 'B', 'alpha', 'beta'] };

const round = (value: number | undefined): string => {
  const text = Number((value ?? Number.NaN).toPrecision(4));
  return Math.abs(text) >= 1e5 || Math.abs(text) < 1e-4 ? text.toExponential().replace('e+', 'e') : String(text);
};

/** `L(N) = 0.9 N^-0.0425` in pieces, four digits a number. */
export function formulaPieces({ form, axis = 'parameters', values }: Law): readonly Piece[] {
  const x = SYMBOLS[axis];
  const raised = (exponent: number): Piece => ({ text: round(exponent), raised: true });
  const { a = Number.NaN, alpha = Number.NaN, beta = Number.NaN } = values;
  if (form === 'power') return [{ text: `L(${x}) = ${round(values['b'])} ${x}` }, raised(a)];
  if (form === 'offset') return [{ text: `L(${x}) = ${round(values['E'])} + ${round(values['b'])} ${x}` }, raised(-a)];
  return [{ text: `L(N, D) = ${round(values['E'])} + ${round(values['A'])} N` }, raised(-alpha), { text: ` + ${round(values['B'])} D` }, raised(-beta)];
}

export function formula(law: Law): string {
  return formulaPieces(law).map(({ text, raised }) => (raised === true ? `^${text}` : text)).join('');
}

/** The loss that the law says; NaN when a column that its form needs is absent. */
export function lossOf(law: Law, at: At): number {
  const x = law.form === 'joint' ? [at.parameters, at.tokens] : [at[law.axis ?? 'parameters']];
  return lawAt(law.form, valuesOf(law), x.map((value) => value ?? Number.NaN));
}

/** Parameters and tokens of the least loss for so many FLOPs = 6 N D, by a joint law. */
export function cheapest(law: Law, flops: number): Required<At> {
  const [parameters, tokens] = bestSplit(valuesOf(law), flops);
  return { parameters, tokens, flops };
}

function valuesOf({ form, values }: Law): readonly number[] {
  return PARAMETERS[form].map((name) => values[name] ?? Number.NaN);
}
