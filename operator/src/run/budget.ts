// spec.budget against the budget of the attempt in hand. A budget may only grow: the run then goes on where it stopped.
import { parseCount } from '../api/scalars.ts';
import type { RunStatus } from '../api/status.ts';
import type { RunSpec } from './observed.ts';

export type Budget = NonNullable<RunStatus['budget']>;

/** spec.budget as status holds it. */
export function budgetOf({ spec }: RunSpec): Budget {
  const { steps, ...other } = spec.budget;
  if (steps !== undefined) return { steps };
  if ('tokens' in other && other.tokens !== undefined) return { tokens: other.tokens };
  return 'epochs' in other && other.epochs !== undefined ? { epochs: other.epochs } : {};
}

/** Whether the spec asks for more than the attempt was begun with; 1500K is not more than 1.5M. */
export function isRaised(before: RunStatus['budget'], run: RunSpec | undefined): boolean {
  if (before === undefined || run === undefined) return false;
  const now = budgetOf(run);
  if (now.steps !== undefined) return now.steps > (before.steps ?? Infinity);
  if (now.epochs !== undefined) return now.epochs > (before.epochs ?? Infinity);
  return now.tokens !== undefined && before.tokens !== undefined && parseCount(now.tokens) > parseCount(before.tokens);
}

/** For people: "500 steps". */
export function budgetText({ steps, tokens, epochs }: Budget): string {
  if (steps !== undefined) return `${steps} steps`;
  return tokens !== undefined ? `${tokens} tokens` : `${epochs ?? 0} epochs`;
}
