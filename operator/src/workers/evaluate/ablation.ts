// Suite 2: what the reference is worth at inference: with it, without it, with one of a wrong prompt, with the candidate itself.
import { marginsOf, otherThan, readable, rightness, scoreAll, type Answer, type Comparison, type Margin, type ReadableRow, type Score } from './comparison.ts';
import { BOOTSTRAP, gain, meanEstimate, pairNumbers, type Bootstrap, type Estimate } from './statistics.ts';
import { above, judge, type SuiteResult } from './verdict.ts';

/** `gain`: by how much accuracy with the reference must exceed that without, and that with a wrong prompt's. */
export interface AblationOptions { readonly accuracy: number; readonly gain: number; readonly self: number; readonly bootstrap?: Bootstrap }
export interface AblationRow extends ReadableRow { readonly without: number; readonly wrongPrompt: number }

/**
 * `self`: share of candidates that score higher when they are the reference themselves. A wrong prompt's reference stands on the
 * comparison's own prompt, as it would by a mistake of who serves it.
 */
export async function ablationSuite(score: Score, comparisons: readonly Comparison[], options: AblationOptions): Promise<SuiteResult<AblationRow, null>> {
  const { bootstrap = BOOTSTRAP } = options;
  const wrong = wrongReferences(comparisons);
  const able = comparisons.filter((_, at) => wrong[at] !== null);
  const references = wrong.filter((one) => one !== null);
  const withReference = await marginsOf(score, able);
  const without = await marginsOf(score, able, () => null);
  const wrongPrompt = await marginsOf(score, able, (_, at) => references[at] ?? null);
  const self = await selfShare(score, able, bootstrap);
  const [overNone, overWrong] = [gain(withReference, without, bootstrap), gain(withReference, wrongPrompt, bootstrap)];
  const accuracy = (margins: readonly Margin[]): Estimate => pairNumbers(margins, bootstrap).accuracy;
  const numbers = { withReference: accuracy(withReference), without: accuracy(without), wrongPrompt: accuracy(wrongPrompt), gainOverNone: overNone, gainOverWrongPrompt: overWrong, self };
  const rows = able.map((one, at) => ({ ...readable(one, withReference[at]?.margin ?? NaN), without: without[at]?.margin ?? NaN, wrongPrompt: wrongPrompt[at]?.margin ?? NaN }));
  return {
    suite: 'ablation', numbers, tables: null, rows: rows.sort((a, b) => a.margin - b.margin),
    verdict: judge([
      above('accuracy with the reference', numbers.withReference, options.accuracy), above('gain over no reference', overNone, options.gain),
      above('gain over a wrong prompt\'s reference', overWrong, options.gain), above('the candidate itself scores higher', self, options.self),
    ]),
  };
}

/** The reference of the next comparison on another prompt, placed on this one's; null where all are on one prompt. */
function wrongReferences(comparisons: readonly Comparison[]): (Answer | null)[] {
  return comparisons.map(({ prompt }, at) => {
    const other = otherThan(comparisons, at);
    return other === undefined ? null : { prompt, response: other.reference.response };
  });
}

async function selfShare(score: Score, comparisons: readonly Comparison[], bootstrap: Bootstrap): Promise<Estimate> {
  const groups = comparisons.flatMap(({ prompt, reference, chosen, wrapper }) => [reference, { prompt, response: chosen }].map((of) => ({ prompt, reference: of, candidates: [chosen], wrapper })));
  const scores = await scoreAll(score, groups);
  return meanEstimate(comparisons.map(({ cluster }, at) => ({ cluster, value: rightness((scores[2 * at + 1]?.[0] ?? NaN) - (scores[2 * at]?.[0] ?? NaN)) })), bootstrap);
}
