// What the suites ask of a scorer, and how its answers are counted.
import type { Wrapper } from '../serve/encode.ts';

/** A response with the prompt it answers. */
export interface Answer { readonly prompt: string; readonly response: string }

/** Candidates on one prompt to score against one reference, which may answer another prompt; null: no reference in the sequence. */
export interface Group { readonly prompt: string; readonly reference: Answer | null; readonly candidates: readonly string[]; readonly wrapper: Wrapper }

/** Scores by group and candidate; higher is closer to the reference's policy. */
export type Score = (groups: readonly Group[]) => Promise<readonly (readonly number[])[]>;

/** A reference with the candidate that should score above the other. `cluster` names the prompt that the bootstrap draws. */
export interface Comparison {
  readonly cluster: string;
  readonly prompt: string;
  readonly reference: Answer;
  readonly chosen: string;
  readonly rejected: string;
  readonly wrapper: Wrapper;
  readonly category?: string | undefined;
  /** Of pairs drawn from a pool: whose candidates these are. The reference is by the policy of the chosen one. */
  readonly policies?: { readonly chosen: string; readonly rejected: string } | undefined;
}

export interface Margin { readonly cluster: string; readonly margin: number }

/** The scorer gave something that is no score. */
export class ScoreError extends Error {}

/** Scores all groups. ScoreError where the scorer gives fewer or other than finite numbers: an average over them would hide it. */
export async function scoreAll(score: Score, groups: readonly Group[]): Promise<readonly (readonly number[])[]> {
  if (groups.length === 0) return [];
  const scores = await score(groups);
  groups.forEach(({ candidates }, at) => {
    const given = scores[at] ?? [];
    if (given.length !== candidates.length || !given.every(Number.isFinite)) {
      throw new ScoreError(`groups[${String(at)}]: expected ${String(candidates.length)} finite scores, got ${JSON.stringify(given)}`);
    }
  });
  return scores;
}

export function groupOf(comparison: Comparison, reference: Answer | null = comparison.reference): Group {
  return { prompt: comparison.prompt, reference, candidates: [comparison.chosen, comparison.rejected], wrapper: comparison.wrapper };
}

/** Score of the chosen minus that of the rejected, comparison by comparison. */
export async function marginsOf(score: Score, comparisons: readonly Comparison[], reference?: (one: Comparison, at: number) => Answer | null): Promise<Margin[]> {
  const scores = await scoreAll(score, comparisons.map((one, at) => groupOf(one, reference === undefined ? one.reference : reference(one, at))));
  return comparisons.map(({ cluster }, at) => ({ cluster, margin: (scores[at]?.[0] ?? NaN) - (scores[at]?.[1] ?? NaN) }));
}

/** The margin's share of a right answer: a tie counts one half. */
export const rightness = (margin: number): number => (margin > 0 ? 1 : margin === 0 ? 0.5 : 0);

/** The first comparison after this one, around the end, that is on another prompt, has another reference and is wanted. */
export function otherThan(comparisons: readonly Comparison[], at: number, wanted: (other: Comparison) => boolean = () => true): Comparison | undefined {
  const own = comparisons[at];
  const fits = (other: Comparison): boolean => other.cluster !== own?.cluster && other.reference.response !== own?.reference.response && wanted(other);
  for (let step = 1; step < comparisons.length; step += 1) {
    const other = comparisons[(at + step) % comparisons.length];
    if (other !== undefined && fits(other)) return other;
  }
  return undefined;
}

const EXCERPT = 240;

/** The beginning of a text, for tables that people read. */
export function excerpt(text: string): string {
  return text.length <= EXCERPT ? text : `${text.slice(0, EXCERPT).toWellFormed()}…`;
}

/** A comparison as one reads it. */
export interface ReadableRow { readonly prompt: string; readonly reference: string; readonly chosen: string; readonly rejected: string; readonly margin: number; readonly category?: string | undefined; readonly policies?: Comparison['policies'] }

export function readable(one: Comparison, margin: number): ReadableRow {
  return {
    prompt: excerpt(one.prompt), reference: excerpt(one.reference.response), chosen: excerpt(one.chosen), rejected: excerpt(one.rejected), margin,
    ...(one.category === undefined ? {} : { category: one.category }), ...(one.policies === undefined ? {} : { policies: one.policies }),
  };
}
