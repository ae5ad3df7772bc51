import { FitError } from './error.ts';
import type { Axis, FitOptions, Form } from './types.ts';

/** Options with their defaults. */
export interface Settings {
  readonly form: Form;
  readonly axis: Axis | undefined;
  readonly delta: number;
  readonly bootstrap: number;
  readonly seed: number;
  readonly confidence: number;
}

const DEFAULTS = { delta: 0.001, bootstrap: 1000, seed: 0, confidence: 0.95 } as const;

/** @throws FitError naming the option that is wrong */
export function settingsOf(options: FitOptions): Settings {
  const { form, axis, delta, bootstrap, seed, confidence } = { ...DEFAULTS, ...options };
  require(['power', 'offset', 'joint'].includes(form), 'options.form', 'power, offset or joint', form);
  require(axis === undefined || ['parameters', 'tokens', 'flops'].includes(axis), 'options.axis', 'parameters, tokens or flops', axis);
  require(Number.isFinite(delta) && delta > 0, 'options.delta', 'a number above 0', delta);
  require(Number.isInteger(bootstrap) && bootstrap >= 0 && bootstrap <= 100_000, 'options.bootstrap', 'an integer from 0 to 100000', bootstrap);
  require(Number.isSafeInteger(seed), 'options.seed', 'an integer', seed);
  require(confidence > 0 && confidence < 1, 'options.confidence', 'a number between 0 and 1', confidence);
  return { form, axis: form === 'joint' ? undefined : axis ?? 'parameters', delta, bootstrap, seed, confidence };
}

function require(holds: boolean, path: string, expected: string, got: string | number | undefined): void {
  if (!holds) throw new FitError(path, expected, got === undefined ? 'nothing' : String(got));
}
