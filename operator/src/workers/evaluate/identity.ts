// Suite 1: does the scorer tell whether two texts are by one policy (paper section 4.1)?
import { nearestLengthWins } from './baselines.ts';
import { marginsOf, readable, type Comparison, type Margin, type ReadableRow, type Score } from './comparison.ts';
import type { IdentityPair } from './pool.ts';
import { BOOTSTRAP, gain, pairNumbers, type Bootstrap, type Estimate, type PairNumbers } from './statistics.ts';
import { above, judge, type SuiteResult } from './verdict.ts';

export interface IdentityOptions { readonly accuracy: number; readonly bootstrap?: Bootstrap }
export interface PolicyPair extends PairNumbers { readonly policies: readonly [string, string] }
export interface IdentityTables { readonly byPolicyPair: readonly PolicyPair[] }

/**
 * Accuracy and loss over all pairs, and of same and cross prompt, seen and unseen policies. Pass: accuracy above the threshold and above
 * that of the candidate whose length is nearer to the reference's.
 */
export async function identitySuite(score: Score, pairs: readonly IdentityPair[], { accuracy, bootstrap = BOOTSTRAP }: IdentityOptions): Promise<SuiteResult<ReadableRow, IdentityTables>> {
  const margins = await marginsOf(score, pairs);
  const part = (wanted: (pair: IdentityPair) => boolean): PairNumbers => pairNumbers(margins.filter((_, at) => { const pair = pairs[at]; return pair !== undefined && wanted(pair); }), bootstrap);
  const all = pairNumbers(margins, bootstrap);
  const overLength = gain(margins, nearestLengthWins(pairs), bootstrap);
  const numbers = {
    ...named('all', all), ...named('samePrompt', part(({ pairing }) => pairing === 'samePrompt')), ...named('crossPrompt', part(({ pairing }) => pairing === 'crossPrompt')),
    ...named('seenPolicies', part(({ seen }) => seen)), ...named('unseenPolicies', part(({ seen }) => !seen)), gainOverLength: overLength,
  };
  const rows = pairs.map((pair, at) => readable(pair, margins[at]?.margin ?? NaN)).sort((a, b) => a.margin - b.margin);
  return {
    suite: 'identity', numbers, rows, tables: { byPolicyPair: byPolicyPair(pairs, margins, bootstrap) },
    verdict: judge([above('accuracy', all.accuracy, accuracy), above('gain over length', overLength, 0)]),
  };
}

function named(name: string, { accuracy, loss }: PairNumbers): Record<string, Estimate> {
  return { [`${name}.accuracy`]: accuracy, [`${name}.loss`]: loss };
}

/** Numbers of each two policies, whichever of them wrote the reference; the hardest first. */
export function byPolicyPair(comparisons: readonly Comparison[], margins: readonly Margin[], bootstrap: Bootstrap): PolicyPair[] {
  const groups = new Map<string, { policies: readonly [string, string]; margins: Margin[] }>();
  comparisons.forEach(({ policies }, at) => {
    const margin = margins[at];
    if (policies === undefined || margin === undefined) return;
    const [first = '', second = ''] = [policies.chosen, policies.rejected].sort();
    const key = JSON.stringify([first, second]);
    const group = groups.get(key) ?? { policies: [first, second], margins: [] };
    group.margins.push(margin);
    groups.set(key, group);
  });
  const numbers = [...groups.values()].map((group) => ({ policies: group.policies, ...pairNumbers(group.margins, bootstrap) }));
  return numbers.sort((a, b) => (a.accuracy.value ?? 0) - (b.accuracy.value ?? 0));
}
