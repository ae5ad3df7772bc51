// What a law is asked: a loss at some size and data, or what a loss takes.
import { UsageError } from './command.ts';
import { parseAmount, parseNumber } from './quantities.ts';
import type { At } from '../sweep/fit/types.ts';

const NAMES: Readonly<Record<string, keyof At>> = {
  n: 'parameters', params: 'parameters', parameters: 'parameters',
  d: 'tokens', tokens: 'tokens',
  c: 'flops', flops: 'flops', compute: 'flops',
};

/** `N=7B,D=3.6T` or `C=1e24`. Throws UsageError. */
export function parsePlace(option: string, text: string): At {
  const at: { -readonly [Name in keyof At]: At[Name] } = {};
  for (const part of text.split(',')) {
    const [name = '', amount = ''] = part.split('=').map((word) => word.trim());
    const key = NAMES[name.toLowerCase()];
    const value = parseAmount(amount);
    if (key === undefined || Number.isNaN(value)) throw new UsageError(`${option}: expected N=7B,D=3.6T (parameters, tokens) or C=1e24 (FLOPs), got ${JSON.stringify(part.trim())}`);
    if (at[key] !== undefined) throw new UsageError(`${option}: expected ${name} once in ${JSON.stringify(text)}`);
    at[key] = value;
  }
  return at;
}

/** `loss=0.35` or `0.35`, where `loss=0.35,N=7B` keeps the size. Throws UsageError. */
export function parseNeed(text: string): { readonly loss: number; readonly at: At } {
  const [first = '', ...rest] = text.split(',');
  const loss = parseNumber(first.trim().replace(/^(loss|l)\s*=\s*/i, ''));
  if (Number.isNaN(loss)) throw new UsageError(`--need: expected loss=0.35, got ${JSON.stringify(first)}`);
  return { loss, at: rest.length === 0 ? {} : parsePlace('--need', rest.join(',')) };
}

/** With the third of parameters, tokens and FLOPs = 6 N D where two are given. */
export function completePlace(at: At): At {
  const { parameters = Number.NaN, tokens = Number.NaN, flops = Number.NaN } = at;
  const derived: At = { parameters: flops / (6 * tokens), tokens: flops / (6 * parameters), flops: 6 * parameters * tokens };
  return Object.fromEntries(Object.entries({ ...derived, ...at }).filter(([, value]) => !Number.isNaN(value)));
}
