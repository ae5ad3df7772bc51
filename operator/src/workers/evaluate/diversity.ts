// Suite 4: how many policies a pool really holds, as the scorer sees them, and which of them are near-duplicates.
import { agnes, type Cluster } from 'ml-hclust';
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { marginsOf, readable, rightness, type Comparison, type Margin, type ReadableRow, type Score } from './comparison.ts';
import { byPolicyPair, type PolicyPair } from './identity.ts';
import { BOOTSTRAP, correctedEstimate, type Bootstrap } from './statistics.ts';
import { above, judge, type SuiteResult } from './verdict.ts';

/** `effectiveShare`: of the policies, that must be effective. `duplicate`: accuracy below which, interval and all, two policies count as one; `leastPrompts`: fewer name nothing. */
export interface DiversityOptions { readonly effectiveShare: number; readonly duplicate: number; readonly leastPrompts: number; readonly bootstrap?: Bootstrap }

/** A node of the dendrogram; leaves have a policy, other nodes the distance at which their branches meet. */
export interface Branch { readonly policy?: string; readonly height: number; readonly branches: readonly Branch[] }

/** `accuracy`: by policy and policy in the dendrogram's order, null where no pair was measured. */
export interface DiversityTables {
  readonly policies: readonly string[];
  readonly accuracy: readonly (readonly (number | null)[])[];
  readonly dendrogram: Branch | null;
  readonly clusters: readonly (readonly string[])[];
  readonly nearDuplicates: readonly PolicyPair[];
  readonly unmeasured: number;
}

interface Marked { readonly cluster: string; readonly margin: number; readonly policies: { readonly chosen: string; readonly rejected: string } }

/**
 * Accuracy of telling every two policies apart; their distance is max(0, 2 accuracy - 1), so a pair told apart by chance is at 0. The
 * effective number is the exponential of the entropy of the eigenvalues of the similarities (1 - distance) / policies: all alike give 1, all
 * told apart always give their number. Noise in accuracies of few comparisons raises it, for which it is corrected. Pairs without a measurement count at the mean distance.
 */
export async function diversitySuite(score: Score, pairs: readonly Comparison[], options: DiversityOptions): Promise<SuiteResult<ReadableRow, DiversityTables>> {
  const { bootstrap = BOOTSTRAP } = options;
  const margins = await marginsOf(score, pairs);
  const marked = pairs.flatMap(({ policies }, at) => (policies === undefined ? [] : [{ policies, cluster: margins[at]?.cluster ?? '', margin: margins[at]?.margin ?? NaN }]));
  const names = [...new Set(marked.flatMap(({ policies }) => [policies.chosen, policies.rejected]))].sort();
  const accuracy = accuracies(marked, names);
  const effective = correctedEstimate(marked, (drawn) => effectiveNumber(distances(accuracies(drawn, names))), { ...bootstrap, bounds: [1, names.length] });
  const share = scaled(effective, names.length);
  const tree = names.length < 2 ? null : agnes(distances(accuracy), { method: 'average', isDistanceMatrix: true });
  return {
    suite: 'diversity', numbers: { effectivePolicies: effective, effectiveShare: share },
    tables: tablesOf({ names, accuracy, tree }, byPolicyPair(pairs, margins, bootstrap), options),
    rows: rowsOf(pairs, margins), verdict: judge([above('share of effective policies', share, options.effectiveShare)]),
  };
}

type Accuracies = readonly (readonly (number | null)[])[];
interface Measured { readonly names: readonly string[]; readonly accuracy: Accuracies; readonly tree: Cluster | null }

function scaled<E extends { readonly value: number | null; readonly lower: number | null; readonly upper: number | null }>(of: E, by: number): E {
  const part = (value: number | null): number | null => (value === null ? null : value / by);
  return { ...of, value: part(of.value), lower: part(of.lower), upper: part(of.upper) };
}

function accuracies(margins: readonly Marked[], names: readonly string[]): (number | null)[][] {
  const place = new Map(names.map((name, at) => [name, at]));
  const [right, count] = [Matrix.zeros(names.length, names.length), Matrix.zeros(names.length, names.length)];
  for (const { margin, policies } of margins) {
    const [a = 0, b = 0] = [place.get(policies.chosen), place.get(policies.rejected)];
    for (const [row, column] of [[a, b], [b, a]] as const) {
      right.set(row, column, right.get(row, column) + rightness(margin));
      count.set(row, column, count.get(row, column) + 1);
    }
  }
  return names.map((_, a) => names.map((__, b) => (count.get(a, b) === 0 ? null : right.get(a, b) / count.get(a, b))));
}

function distances(accuracy: Accuracies): number[][] {
  const distance = (value: number): number => Math.max(0, 2 * value - 1);
  const known = accuracy.flat().flatMap((value) => (value === null ? [] : [distance(value)]));
  const mean = known.reduce((sum, value) => sum + value, 0) / Math.max(1, known.length);
  return accuracy.map((row, a) => row.map((value, b) => (a === b ? 0 : value === null ? mean : distance(value))));
}

function effectiveNumber(distance: readonly (readonly number[])[]): number {
  const similarity = new Matrix(distance.map((row) => row.map((value) => (1 - value) / row.length)));
  const values = new EigenvalueDecomposition(similarity, { assumeSymmetric: true }).realEigenvalues.map((value) => Math.max(0, value));
  const total = values.reduce((sum, value) => sum + value, 0); // 1 unless negative ones were left out
  return Math.exp(-values.reduce((sum, value) => sum + (value === 0 ? 0 : (value / total) * Math.log(value / total)), 0));
}

function tablesOf({ names, accuracy, tree }: Measured, byPair: readonly PolicyPair[], { duplicate, leastPrompts }: DiversityOptions): DiversityTables {
  const order = tree?.indices() ?? [...names.keys()];
  const nameOf = (at: number): string => names[at] ?? '';
  const branch = (node: Cluster): Branch => (node.isLeaf ? { policy: nameOf(node.index), height: 0, branches: [] } : { height: node.height, branches: node.children.map(branch) });
  const limit = Math.max(0, 2 * duplicate - 1);
  return {
    policies: order.map(nameOf), accuracy: order.map((a) => order.map((b) => accuracy[a]?.[b] ?? null)),
    dendrogram: tree === null ? null : branch(tree),
    clusters: tree === null ? names.map((name) => [name]) : leavesBelow(tree, limit).map((indices) => indices.map(nameOf)),
    nearDuplicates: byPair.filter(({ accuracy: { upper, clusters } }) => upper !== null && upper < duplicate && clusters >= leastPrompts),
    unmeasured: (names.length * (names.length - 1)) / 2 - byPair.length,
  };
}

/** The largest subtrees whose branches all meet below a height. */
function leavesBelow(node: Cluster, height: number): number[][] {
  return node.isLeaf || node.height < height ? [node.indices()] : node.children.flatMap((child) => leavesBelow(child, height));
}

function rowsOf(pairs: readonly Comparison[], margins: readonly Margin[]): ReadableRow[] {
  return pairs.map((pair, at) => readable(pair, margins[at]?.margin ?? NaN)).sort((a, b) => a.margin - b.margin);
}
