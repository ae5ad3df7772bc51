// Suite 3: how good must a reference be, and do several references help (test-time scaling)?
import { combine, type Combine } from '../serve/references.ts';
import { excerpt, rightness, scoreAll, type Score } from './comparison.ts';
import { BOOTSTRAP, meanEstimate, spearmanEstimate, type Bootstrap, type Estimate } from './statistics.ts';
import type { QualityItem } from './levels.ts';
import { above, judge, type SuiteResult } from './verdict.ts';

/** `notWorse`: what accuracy may lose from one reference to the most. */
export interface ReferenceOptions { readonly accuracy: number; readonly notWorse: number; readonly combine: Combine; readonly bootstrap?: Bootstrap }
export interface ReferenceRow { readonly prompt: string; readonly level: string; readonly reference: string; readonly candidates: readonly { readonly level: string; readonly text: string; readonly score: number }[] }
/** `accuracy`: that of the best level's references, averaged over the first `references` of them. */
export interface AveragingPoint { readonly references: number; readonly accuracy: Estimate }

/** Scores of one item by level of the reference, reference and candidate. */
type ItemScores = readonly (readonly (readonly number[])[])[];

/**
 * Right is a pair of candidates of which the one of the better level scores higher. Numbers: accuracy under one reference of each level,
 * rank correlation of level and score (less the prompt's mean) under the best, accuracy by number of references. Pass: accuracy under the
 * best level above the threshold and above that of lengths near the reference's, and many references no worse than one.
 */
export async function referenceSuite(score: Score, items: readonly QualityItem[], options: ReferenceOptions): Promise<SuiteResult<ReferenceRow, { readonly averaging: readonly AveragingPoint[] }>> {
  const { bootstrap = BOOTSTRAP } = options;
  const scores = await scoreItems(score, items);
  const levels = items[0]?.references.map(({ level }) => level) ?? [];
  const under = (level: number): Clustered[] => items.map(({ cluster }, at) => ({ cluster, value: ordered(scores[at]?.[level]?.[0] ?? []) }));
  const byLevel = Object.fromEntries(levels.map((name, level) => [`accuracy.${name}`, meanEstimate(under(level), bootstrap)]));
  const most = items.reduce((least, { references }) => Math.min(least, references[0]?.texts.length ?? 0), Infinity);
  const averaged = (count: number): Clustered[] => items.map(({ cluster }, at) => ({ cluster, value: ordered(together(scores[at]?.[0]?.slice(0, count) ?? [], options.combine)) }));
  const averaging = items.length === 0 ? [] : Array.from({ length: most }, (_, at) => ({ references: at + 1, accuracy: meanEstimate(averaged(at + 1), bootstrap) }));
  const gained = items.length === 0 ? meanEstimate([], bootstrap) : meanEstimate(less(averaged(most), averaged(1)), bootstrap);
  const overLength = meanEstimate(less(under(0), items.map((item) => ({ cluster: item.cluster, value: ordered(lengthScores(item)) }))), bootstrap);
  const best = meanEstimate(under(0), bootstrap);
  const numbers = {
    ...byLevel, sensitivity: meanEstimate(less(under(0), under(levels.length - 1)), bootstrap), gainOfReferences: gained, gainOverLength: overLength,
    rankCorrelation: spearmanEstimate(items.flatMap(({ cluster }, at) => centred(scores[at]?.[0]?.[0] ?? []).map((y, level) => ({ cluster, x: -level, y }))), bootstrap),
  };
  return {
    suite: 'references', numbers, tables: { averaging }, rows: rowsOf(items, scores),
    verdict: judge([above('accuracy under the best references', best, options.accuracy), above('gain over length', overLength, 0), above('gain of several references', gained, -options.notWorse)]),
  };
}

interface Clustered { readonly cluster: string; readonly value: number }
const less = (first: readonly Clustered[], second: readonly Clustered[]): Clustered[] => first.map(({ cluster, value }, at) => ({ cluster, value: value - (second[at]?.value ?? NaN) }));

async function scoreItems(score: Score, items: readonly QualityItem[]): Promise<ItemScores[]> {
  const groups = items.flatMap(({ prompt, wrapper, candidates, references }) => references.flatMap(({ texts }) =>
    texts.map((response) => ({ prompt, reference: { prompt, response }, candidates: candidates.map(({ text }) => text), wrapper }))));
  const scores = await scoreAll(score, groups);
  let next = 0;
  return items.map(({ references }) => references.map(({ texts }) => texts.map(() => scores[next++] ?? [])));
}

/** Share of pairs, the better level first, that are scored in this order. */
function ordered(scores: readonly number[]): number {
  const pairs = scores.flatMap((better, at) => scores.slice(at + 1).map((worse) => rightness(better - worse)));
  return pairs.reduce((sum, one) => sum + one, 0) / pairs.length;
}

function together(byReference: readonly (readonly number[])[], how: Combine): number[] {
  return (byReference[0] ?? []).map((_, candidate) => combine(byReference.map((scores) => scores[candidate] ?? NaN), how));
}

function lengthScores({ references, candidates }: QualityItem): number[] {
  const length = references[0]?.texts[0]?.length ?? 0;
  return candidates.map(({ text }) => -Math.abs(Math.log1p(text.length) - Math.log1p(length)));
}

function centred(scores: readonly number[]): number[] {
  const mean = scores.reduce((sum, one) => sum + one, 0) / scores.length;
  return scores.map((one) => one - mean);
}

function rowsOf(items: readonly QualityItem[], scores: readonly ItemScores[]): ReferenceRow[] {
  return items.flatMap(({ prompt, references, candidates }, at) => references.map(({ level, texts }, of) => ({
    prompt: excerpt(prompt), level, reference: excerpt(texts[0] ?? ''),
    candidates: candidates.map((one, candidate) => ({ level: one.level, text: excerpt(one.text), score: scores[at]?.[of]?.[0]?.[candidate] ?? NaN })),
  })));
}
