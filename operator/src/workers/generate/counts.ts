// What is counted per policy, in shards' manifests and in progress lines.
import { add, FREE, showMoney, type Cost } from './money.ts';

export interface PolicyCount {
  rows: number;
  /** Rows that were changed: loops and incomplete endings that were cut. */
  loops: number;
  incomplete: number;
  empty: number;
  tokensIn: number;
  tokensOut: number;
  /** Rows for which the endpoint gave no token counts, or impossible ones: the most they can be is booked. */
  uncounted: number;
  /** Rows that another model than the one asked for is said to have written. */
  otherModel: number;
  /** Requests that the endpoint refused for good (HTTP 400, 413, 422). */
  refused: number;
  /** Cost of rows and of requests that ended without a usable answer. */
  spent: Cost;
  lost: Cost;
}

export const noCount = (): PolicyCount => ({ rows: 0, loops: 0, incomplete: 0, empty: 0, tokensIn: 0, tokensOut: 0, uncounted: 0, otherModel: 0, refused: 0, spent: FREE, lost: FREE });

/** Adds `more` to `count`. */
export function addTo(count: PolicyCount, more: PolicyCount): void {
  for (const key of ['rows', 'loops', 'incomplete', 'empty', 'tokensIn', 'tokensOut', 'uncounted', 'otherModel', 'refused'] as const) count[key] += more[key];
  count.spent = add(count.spent, more.spent);
  count.lost = add(count.lost, more.lost);
}

/** As JSON: money as decimal strings. */
export type ShownCount = Omit<PolicyCount, 'spent' | 'lost'> & { readonly spent: { tokens: number; money: string }; readonly lost: { tokens: number; money: string } };

export function showCount(count: PolicyCount): ShownCount {
  const show = ({ tokens, money }: Cost): { tokens: number; money: string } => ({ tokens, money: showMoney(money) });
  return { ...count, spent: show(count.spent), lost: show(count.lost) };
}
