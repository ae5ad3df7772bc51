import { FitError } from './error.ts';
import type { Axis, At, Form, Observation } from './types.ts';

const AXES: readonly Axis[] = ['parameters', 'tokens', 'flops'];

/** The columns of the observations that a form is fitted to, checked: X per term, and loss. */
export interface Columns {
  readonly axes: readonly Axis[];
  readonly x: readonly (readonly number[])[];
  readonly loss: readonly number[];
}

export function axesOf(form: Form, axis: Axis | undefined): readonly Axis[] {
  return form === 'joint' ? ['parameters', 'tokens'] : [axis ?? 'parameters'];
}

/** A column, or what the other two say of it by C = 6 N D. */
export function valueOf(at: At, axis: Axis): number | undefined {
  const { parameters, tokens, flops } = at;
  if (at[axis] !== undefined) return at[axis];
  if (axis === 'flops') return parameters !== undefined && tokens !== undefined ? 6 * parameters * tokens : undefined;
  const other = axis === 'tokens' ? parameters : tokens;
  return flops !== undefined && other !== undefined ? flops / (6 * other) : undefined;
}

/** @throws FitError naming the first cell that is missing or no positive number, or the column that does not vary */
export function columnsOf(observations: readonly Observation[], form: Form, axis?: Axis): Columns {
  const axes = axesOf(form, axis);
  const least = { power: 3, offset: 4, joint: 6 }[form];
  if (observations.length < least) throw new FitError('observations', `at least ${least} for the form ${form}`, String(observations.length));
  const loss = observations.map((observation, i) => positive(observation.loss, `observations[${i}].loss`, 'a finite number above 0'));
  const x = axes.map((name) => observations.map((observation, i) => cell(observation, name, i)));
  x.forEach((column, k) => { vary(column, axes[k]!, form); });
  return { axes, x, loss };
}

function cell(observation: Observation, axis: Axis, i: number): number {
  for (const name of AXES) if (observation[name] !== undefined) positive(observation[name], `observations[${i}].${name}`, 'a finite number above 0');
  const others = AXES.filter((name) => name !== axis).join(' and ');
  return positive(valueOf(observation, axis), `observations[${i}].${axis}`, `a finite number above 0, or ${others} to take it from`);
}

function positive(value: unknown, path: string, expected: string): number {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
  throw new FitError(path, expected, value === undefined ? 'nothing' : typeof value === 'number' ? String(value) : `a ${typeof value}`);
}

/** Different values of a column: those less than 0.1 % apart count as one. */
export function different(column: readonly number[]): number[] {
  const sorted = [...column].sort((left, right) => left - right);
  return sorted.filter((value, i) => i === 0 || value > sorted[i - 1]! * 1.001);
}

function vary(column: readonly number[], axis: Axis, form: Form): void {
  const least = form === 'offset' ? 3 : 2;
  const found = different(column).length;
  if (found < least) throw new FitError(`observations[].${axis}`, `at least ${least} different values for the form ${form}`, found === 1 ? `one (${column[0]})` : String(found));
}
