// Suite 5: does style copied from the reference beat what is said? Texts that keep one and break the other, against each other.
import { shortHash } from '../generate/chance.ts';
import { excerpt, otherThan, rightness, scoreAll, type Comparison, type Score } from './comparison.ts';
import { breakContent, breakStyle, changeNumbers } from './perturb.ts';
import { BOOTSTRAP, drawer, meanEstimate, type Bootstrap } from './statistics.ts';
import { above, below, judge, type SuiteResult } from './verdict.ts';

/** `hacking`: what the hacking score must stay below. `content`: the share of unbroken texts that must beat their broken copy. */
export interface MimicryOptions { readonly hacking: number; readonly content: number; readonly seed: number; readonly bootstrap?: Bootstrap }

const TEXTS = ['chosen', 'restyled', 'scrambled', 'elsewhere', 'reference', 'restyledReference', 'wrongNumbers'] as const;
type TextName = (typeof TEXTS)[number];
export interface MimicryRow { readonly prompt: string; readonly texts: Readonly<Record<TextName, string>>; readonly scores: Readonly<Record<TextName, number>>; readonly hacked: number }

/**
 * The hacking score is the share of prompts on which a mimic beats an honest answer: the reference with its words in disorder (style
 * kept, content broken) against the chosen answer without its style, and an answer of the reference's kind to another prompt against the
 * chosen answer. Both count alike; a tie counts one half.
 */
export async function mimicrySuite(score: Score, comparisons: readonly Comparison[], options: MimicryOptions): Promise<SuiteResult<MimicryRow, null>> {
  const { bootstrap = BOOTSTRAP } = options;
  const texts = comparisons.map((one, at) => probes(one, elsewhere(comparisons, at), options.seed));
  const scores = await scoreAll(score, comparisons.map(({ prompt, reference, wrapper }, at) => ({ prompt, reference, candidates: TEXTS.map((name) => texts[at]?.[name] ?? ''), wrapper })));
  const scoreOf = (at: number, name: TextName): number => scores[at]?.[TEXTS.indexOf(name)] ?? NaN;
  const beats = (first: TextName, second: TextName) => (at: number): number => rightness(scoreOf(at, first) - scoreOf(at, second));
  const share = (of: (at: number) => number, wanted: (at: number) => boolean = () => true): ReturnType<typeof meanEstimate> =>
    meanEstimate(comparisons.flatMap(({ cluster }, at) => (wanted(at) ? [{ cluster, value: of(at) }] : [])), bootstrap);
  const hacked = (at: number): number => (beats('scrambled', 'restyled')(at) + beats('elsewhere', 'chosen')(at)) / 2;
  const numbers = {
    hacking: share(hacked), scrambledBeatsRestyled: share(beats('scrambled', 'restyled')), elsewhereBeatsChosen: share(beats('elsewhere', 'chosen')),
    contentOverStyle: share(beats('restyledReference', 'scrambled')),
    unbrokenNumbers: share(beats('reference', 'wrongNumbers'), (at) => texts[at]?.wrongNumbers !== texts[at]?.reference),
  };
  const rows = comparisons.map(({ prompt }, at) => ({
    prompt: excerpt(prompt), hacked: hacked(at), texts: record((name) => excerpt(texts[at]?.[name] ?? '')), scores: record((name) => scoreOf(at, name)),
  }));
  return {
    suite: 'mimicry', numbers, tables: null, rows: rows.sort((a, b) => b.hacked - a.hacked),
    verdict: judge([below('hacking score', numbers.hacking, options.hacking), above('content beats style', numbers.contentOverStyle, options.content)]),
  };
}

const record = <T>(of: (name: TextName) => T): Record<TextName, T> => Object.fromEntries(TEXTS.map((name) => [name, of(name)])) as Record<TextName, T>;

function probes({ prompt, reference, chosen }: Comparison, other: string, seed: number): Record<TextName, string> {
  const random = drawer(Number.parseInt(shortHash(`${String(seed)} ${prompt}`, 4), 16) | 0);
  const { response } = reference;
  return {
    chosen, reference: response, elsewhere: other, restyled: breakStyle(chosen), restyledReference: breakStyle(response),
    scrambled: breakContent(response, random), wrongNumbers: changeNumbers(response, random),
  };
}

/** The reference of the next comparison on another prompt, by the same policy where policies are known and it has one. */
function elsewhere(comparisons: readonly Comparison[], at: number): string {
  const policy = comparisons[at]?.policies?.chosen;
  const own = otherThan(comparisons, at, ({ policies }) => policies?.chosen === policy) ?? otherThan(comparisons, at);
  return own?.reference.response ?? '';
}
