import { different } from './columns.ts';
import { FitError } from './error.ts';
import { refitHyperLaw } from './hyper.ts';
import type { HyperFit } from './hyper.ts';
import { mean } from './numbers.ts';
import { batchOptimum, learningRateOptimum } from './optimum.ts';
import type { Optimum } from './optimum.ts';

/** What is chosen for a run, and has an optimum at every scale. */
export type Setting = 'learningRate' | 'batchTriplets';

/** A finished run: what was set, the loss, and the scale it was trained at as far as that is known. */
export interface Tried {
  /** Name of the size; runs of different names are never compared. */
  readonly size?: string;
  readonly parameters?: number;
  readonly tokens?: number;
  readonly value: number;
  readonly loss: number;
}

export interface ScaleOptimum extends Optimum {
  readonly size?: string;
  readonly parameters?: number;
  readonly tokens?: number;
  readonly runs: number;
}

/** The law of a setting over scales, or why there is none. `points` are the optima it was fitted to. */
export interface SettingLaw {
  readonly fit?: HyperFit;
  readonly points: number;
  readonly notes: readonly string[];
}

/** Budgets closer than this are one: what was trained differs from run to run by a batch. */
const SAME_BUDGET = 1.1;
const LEAST = 3;
const UNIT: Readonly<Record<Setting, string>> = { learningRate: 'learning rate', batchTriplets: 'batch' };

/**
 * The best learning rate (quartic of loss in ln rate, a quadratic with fewer than five rates) or batch (quadratic) at every size and budget
 * with at least three values, smallest scale first (paper App. D.1.2). Runs of one value count one by one: seeds tell the error.
 * @throws FitError when a value or loss is not a number
 */
export function optimaOf(of: Setting, tried: readonly Tried[]): readonly ScaleOptimum[] {
  const budgets = budgetsOf(tried);
  const groups = Map.groupBy(tried, ({ size, parameters, tokens }) => JSON.stringify([size, parameters, budgets(tokens)]));
  return [...groups.values()].flatMap((group) => {
    if (different(group.map(({ value }) => value)).length < LEAST) return [];
    const { size, parameters, tokens } = group[0]!;
    const scale = { size, parameters, tokens: budgets(tokens) };
    return [{ ...defined(scale), ...found(of, group), runs: group.length }];
  }).sort((a, b) => (a.parameters ?? 0) - (b.parameters ?? 0) || (a.tokens ?? 0) - (b.tokens ?? 0));
}

function found(of: Setting, group: readonly Tried[]): Optimum {
  const best = of === 'learningRate'
    ? learningRateOptimum(group.map(({ value, loss }) => ({ learningRate: value, loss })))
    : batchOptimum(group.map(({ value, loss }) => ({ batch: value, loss })));
  const values = group.map(({ value }) => value);
  const isOpen = !best.atEdge && best.lower !== undefined && best.upper !== undefined && (touches(best.lower, Math.min(...values)) || touches(best.upper, Math.max(...values)));
  return isOpen ? { ...best, warnings: [...best.warnings, 'the interval ends where the values tried do: the optimum may lie beyond'] } : best;
}

const touches = (end: number, edge: number): boolean => Math.abs(Math.log(end / edge)) < 1e-6;

/** The mean of the budgets that count as one, so that a law does not take the scatter of a batch for a variable. */
function budgetsOf(tried: readonly Tried[]): (tokens: number | undefined) => number | undefined {
  const sorted = [...new Set(tried.flatMap(({ tokens }) => tokens ?? []))].sort((a, b) => a - b);
  const groups: number[][] = [];
  for (const tokens of sorted) {
    const last = groups.at(-1);
    if (last !== undefined && tokens <= SAME_BUDGET * last[0]!) last.push(tokens);
    else groups.push([tokens]);
  }
  const budget = new Map(groups.flatMap((group) => group.map((tokens) => [tokens, mean(group)] as const)));
  return (tokens) => (tokens === undefined ? undefined : budget.get(tokens));
}

/** The paper's form refitted to optima (App. D.1.2); those at the edge of what was tried are bounds, not optima, and are left out. */
export function settingLaw(of: Setting, optima: readonly ScaleOptimum[]): SettingLaw {
  const inside = optima.filter(({ atEdge }) => !atEdge);
  const left = optima.length - inside.length;
  const notes = left === 0 ? [] : [`${left} of ${optima.length} optima at the edge of what was tried are left out`];
  const points = inside.length;
  const names = (['parameters', 'tokens'] as const).filter((name) => new Set(inside.map((one) => one[name])).size > 1);
  if (names.length === 0) return { points, notes: [...notes, `no law: it needs optima of the ${UNIT[of]} at several sizes or budgets`] };
  try {
    const fit = refitHyperLaw(inside.map(({ parameters, tokens, value }) => ({ ...defined({ parameters, tokens }), optimum: value })));
    return { fit, points, notes: [...notes, ...leftOutNotes(of, fit)] };
  } catch (error) {
    if (!(error instanceof FitError)) throw error;
    return { points, notes: [...notes, `no law: ${error.message}`] };
  }
}

/** The batch law of the paper has no tokens of the base model. */
function leftOutNotes(of: Setting, { leftOut }: HyperFit): string[] {
  return leftOut.flatMap((name) => {
    if (name !== 'pretrainedTokens') return [`${name} do not vary and are left out`];
    return of === 'learningRate' ? ['tokens of the base model are left out'] : [];
  });
}

function defined<T extends object>(fields: { readonly [F in keyof T]: T[F] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T;
}
