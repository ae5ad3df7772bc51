// A small world whose truth is known: policies with a style, prompts with facts, and scorers that read one thing each.
import type { Comparison, Group, Score } from '../comparison.ts';
import type { Trajectory } from '../rows.ts';
import { drawer } from '../statistics.ts';

const FACTS = 8;

const word = (prompt: number, fact: number): string => `fact${String(prompt)}x${String(fact)}`;
const styled = (policy: string, words: readonly string[], filler: number): string => `${policy} says: ${words.join(' ')}. ${'indeed '.repeat(filler)}${policy} ends.`;

/** What a policy answers: the prompt's facts in order, in its style, the last `wrong` of them not true. Lengths vary by chance. */
export function answer(policy: string, prompt: number, { wrong = 0, sample = 0 }: { wrong?: number; sample?: number } = {}): string {
  const draw = drawer(1000 * prompt + 31 * sample + [...policy].reduce((sum, letter) => 7 * sum + letter.charCodeAt(0), 0));
  const words = Array.from({ length: FACTS }, (_, fact) => (fact < FACTS - wrong ? word(prompt, fact) : `error${String(draw(1_000_000))}`));
  return styled(policy, words, draw(20));
}

export function pool(policies: readonly string[], prompts: number, samples: number): Trajectory[] {
  return policies.flatMap((policy) => Array.from({ length: prompts * samples }, (_, at) => {
    const [prompt, sample] = [Math.floor(at / samples), at % samples];
    return { promptId: `q${String(prompt)}`, prompt: `Question ${String(prompt)}?`, policy, output: answer(policy, prompt, { sample }), wrapper: 'sft' as const };
  }));
}

/** Triplets whose chosen answer has fewer errors than the rejected one, each by a policy of its own. */
export function triplets(count: number): Comparison[] {
  return Array.from({ length: count }, (_, prompt) => ({
    cluster: `q${String(prompt)}`, prompt: `Question ${String(prompt)}?`, wrapper: 'sft' as const, category: prompt % 2 === 0 ? 'even' : 'odd',
    reference: { prompt: `Question ${String(prompt)}?`, response: answer('best', prompt) },
    chosen: answer('second', prompt, { wrong: 2 }), rejected: answer('third', prompt, { wrong: 5 }),
  }));
}

const each = (of: (candidate: string, group: Group) => number): Score => (groups) => Promise.resolve(groups.map((group) => group.candidates.map((candidate) => of(candidate, group))));
const words = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
const pairsOf = (text: string): Set<string> => {
  const all = words(text);
  return new Set(all.slice(1).map((one, at) => `${all[at] ?? ''} ${one}`));
};
const jaccard = (a: ReadonlySet<string>, b: ReadonlySet<string>): number => {
  const shared = [...a].filter((one) => b.has(one)).length;
  return shared / Math.max(1, a.size + b.size - shared);
};

/** Says the same of everything, as an untrained model nearly does. */
export const constant = each(() => 0.25);
/** Reads the candidate's length only. */
export const longest = each((candidate) => candidate.length);
/** Reads both lengths only. */
export const nearestLength = each((candidate, { reference }) => -Math.abs(candidate.length - (reference?.response.length ?? 0)));
/** Wants the reference back, word for word. */
export const copier = each((candidate, { reference }) => (candidate === reference?.response ? 1 : 0));
/** Wants the reference's words back, in any order. */
export const mimic = each((candidate, { reference }) => jaccard(new Set(words(candidate)), new Set(words(reference?.response ?? ''))));
/** Knows a policy by the word with which it begins and ends. */
export const knowsPolicies = each((candidate, { reference }) => (words(candidate)[0] === words(reference?.response ?? '')[0] ? 2 : -1));
/** Reads what is said, in which order, and not how it is written. */
export const readsContent = each((candidate, { reference }) => 8 * jaccard(pairsOf(candidate), pairsOf(reference?.response ?? '')));
