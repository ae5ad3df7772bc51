// Suite 6: preference accuracy by the rank protocol (the best answer is the reference; the second must score above the third), paper section 4.2.
import { longerWins, nearestLengthWins } from './baselines.ts';
import { marginsOf, readable, type Comparison, type Margin, type ReadableRow, type Score } from './comparison.ts';
import { BOOTSTRAP, gain, pairNumbers, type Bootstrap, type Estimate, type PairNumbers } from './statistics.ts';
import { styleWins } from './styleBaseline.ts';
import { above, judge, type SuiteResult } from './verdict.ts';

/** `others`: further scorers of the same comparisons, by name, such as another reward endpoint. */
export interface PreferenceOptions { readonly accuracy: number; readonly seed: number; readonly others?: Readonly<Record<string, Score>>; readonly bootstrap?: Bootstrap }
export interface CategoryNumbers extends PairNumbers { readonly category: string; readonly baselines: Readonly<Record<string, Estimate>> }
/** `others`: accuracy of each, or why it has none; a scorer that fails takes nothing from the rest. */
export interface PreferenceTables { readonly byCategory: readonly CategoryNumbers[]; readonly others: Readonly<Record<string, Estimate | { readonly error: string }>> }

const FOLDS = 5;

/** Pass: accuracy above the threshold and above every baseline (longer wins, length nearer to the reference's wins, style). */
export async function preferenceSuite(score: Score, comparisons: readonly Comparison[], options: PreferenceOptions): Promise<SuiteResult<ReadableRow, PreferenceTables>> {
  const { bootstrap = BOOTSTRAP } = options;
  const margins = await marginsOf(score, comparisons);
  const baselines = { longer: longerWins(comparisons), nearestLength: nearestLengthWins(comparisons), style: styleWins(comparisons, { folds: FOLDS, seed: options.seed }) };
  const all = pairNumbers(margins, bootstrap);
  const gains = Object.entries(baselines).map(([name, own]) => [name, gain(margins, own, bootstrap)] as const);
  const numbers = {
    ...all, ...accuracies(baselines, bootstrap, 'baseline.'), ...Object.fromEntries(gains.map(([name, own]) => [`gainOver.${name}`, own])),
  };
  return {
    suite: 'preference', numbers, tables: { byCategory: byCategory(comparisons, { model: margins, baselines }, bootstrap), others: await othersOf(comparisons, options) },
    rows: comparisons.map((one, at) => readable(one, margins[at]?.margin ?? NaN)).sort((a, b) => a.margin - b.margin),
    verdict: judge([above('accuracy', all.accuracy, options.accuracy), ...gains.map(([name, own]) => above(`gain over ${name}`, own, 0))]),
  };
}

type Baselines = Readonly<Record<string, readonly Margin[]>>;

function accuracies(baselines: Baselines, bootstrap: Bootstrap, prefix = ''): Record<string, Estimate> {
  return Object.fromEntries(Object.entries(baselines).map(([name, margins]) => [prefix + name, pairNumbers(margins, bootstrap).accuracy]));
}

function byCategory(comparisons: readonly Comparison[], { model, baselines }: { model: readonly Margin[]; baselines: Baselines }, bootstrap: Bootstrap): CategoryNumbers[] {
  const places = Map.groupBy(comparisons.keys(), (at) => comparisons[at]?.category);
  return [...places].flatMap(([category, own]) => {
    if (category === undefined) return [];
    const of = (from: readonly Margin[]): Margin[] => own.flatMap((at) => from[at] ?? []);
    return [{ category, ...pairNumbers(of(model), bootstrap), baselines: accuracies(Object.fromEntries(Object.entries(baselines).map(([name, from]) => [name, of(from)])), bootstrap) }];
  }).sort((a, b) => (a.category < b.category ? -1 : 1));
}

async function othersOf(comparisons: readonly Comparison[], { others = {}, bootstrap = BOOTSTRAP }: PreferenceOptions): Promise<PreferenceTables['others']> {
  const found: Record<string, Estimate | { error: string }> = {};
  for (const [name, score] of Object.entries(others)) {
    found[name] = await marginsOf(score, comparisons).then((margins) => pairNumbers(margins, bootstrap).accuracy, (error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }));
  }
  return found;
}
