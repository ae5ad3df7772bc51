// From groups to runs of the graph (trainer/polar/onnx_model.py describes its inputs). A run has a bounded number of tokens:
// memory stays flat and the activations near the caches. A group that needs several runs computes its prefix in the first,
// keeps its keys and values, and gives them to the others.
import type { Group, Member, Tokens } from './prefixes.ts';

/** Rows that attend together. Longer blocks compute more pairs that are masked away, shorter ones cost more operations. */
const BLOCK_ROWS = 128;

/** Neighbouring tokens of a stream. `shared` are the keys of its prefix, `copies` the places its score goes to. */
interface Segment { readonly ids: Tokens; readonly from: number; readonly end: number; readonly shared: readonly [number, number]; readonly scored: readonly (readonly number[])[] }

/** One call of the graph. `pastTokens` come from the run before; `keep` rows of the stream are wanted for the next. */
export interface Run { readonly segments: readonly Segment[]; readonly tokens: number; readonly pastTokens: number; readonly keep: number }

/** The graph's whole-number inputs, and where its scores go: reward by reward the places of its copies. */
export interface Feeds {
  readonly ids: BigInt64Array; readonly positions: BigInt64Array; readonly blocks: BigInt64Array; readonly rewards: BigInt64Array;
  readonly keep: BigInt64Array; readonly places: readonly (readonly number[])[];
}

/** Runs of at most `most` tokens each, or one sequence or prefix. Small groups share a run; groups of like size follow each other. */
export function planRuns(groups: readonly Group[], most: number): Run[] {
  const runs: Run[] = [];
  let open: Segment[] = [];
  let tokens = 0;
  const flush = (): void => {
    if (open.length > 0) runs.push({ segments: open, tokens, pastTokens: 0, keep: 0 });
    [open, tokens] = [[], 0];
  };
  const sized = groups.map((group) => ({ group, size: group.members.reduce((sum, { ids }) => sum + ids.length - group.shared, group.shared) }));
  for (const { group, size } of sized.sort((a, b) => b.size - a.size)) {
    if (size > most && group.members.length > 1) {
      runs.push(...chain(group, most));
      continue;
    }
    if (tokens + size > most) flush();
    for (const segment of whole(group, tokens)) open.push(segment);
    tokens += size;
  }
  flush();
  return runs;
}

/** The inputs of a run. */
export function feedsOf({ segments, tokens, pastTokens, keep }: Run): Feeds {
  const [ids, positions] = [new BigInt64Array(tokens), new BigInt64Array(tokens)];
  const blocks: number[] = [];
  const rewards: number[] = [];
  const places: (readonly number[])[] = [];
  let row = 0;
  for (const segment of segments) {
    const [start, length, own] = [row, segment.end - segment.from, pastTokens + row];
    for (let at = segment.from; at < segment.end; at += 1, row += 1) {
      ids[row] = BigInt(segment.ids[at] ?? 0);
      positions[row] = BigInt(at);
    }
    const parts = Math.ceil(length / BLOCK_ROWS);
    const edge = (part: number): number => start + Math.floor((length * part) / parts);
    for (let part = 0; part < parts; part += 1) blocks.push(edge(part), edge(part + 1), ...segment.shared, own);
    for (const copies of segment.scored) {
      rewards.push(row - 1, row, ...segment.shared, own);
      places.push(copies);
    }
  }
  const whole = (values: readonly number[]): BigInt64Array => BigInt64Array.from(values, BigInt);
  return { ids, positions, blocks: whole(blocks), rewards: whole(rewards), keep: whole(Array.from({ length: keep }, (_, at) => at)), places };
}

/** A group in one run whose stream already has `start` tokens. */
function whole({ shared, members }: Group, start: number): Segment[] {
  if (shared === 0) return members.map((member) => branch(member, 0, 0));
  const [prefix, rest] = prefixOf(members, shared);
  return [prefix, ...rest.map((member) => branch(member, shared, start))];
}

/** A group in several runs. The longest candidates come first; those of a run are of like length. */
function chain({ shared, members }: Group, most: number): Run[] {
  const [prefix, rest] = prefixOf(members, shared);
  const runs: Run[] = [];
  let [segments, tokens]: [Segment[], number] = [[prefix], shared];
  for (const member of [...rest].sort((a, b) => b.ids.length - a.ids.length)) {
    const size = member.ids.length - shared;
    if (tokens + size > most && segments.some(({ scored }) => scored.length > 0)) {
      runs.push(runOf(segments, tokens, runs.length === 0, shared));
      [segments, tokens] = [[], 0];
    }
    segments.push(branch(member, shared, 0));
    tokens += size;
  }
  runs.push(runOf(segments, tokens, runs.length === 0, shared));
  return runs;
}

function runOf(segments: readonly Segment[], tokens: number, first: boolean, shared: number): Run {
  return { segments, tokens, pastTokens: first ? 0 : shared, keep: first ? shared : 0 };
}

/** The prefix as a segment, scored itself where a sequence ends with it, and the sequences that go on. */
function prefixOf(members: readonly Member[], shared: number): [Segment, readonly Member[]] {
  const ends = members.filter(({ ids }) => ids.length === shared);
  const prefix: Segment = { ids: members[0]?.ids ?? [], from: 0, end: shared, shared: [0, 0], scored: ends.map(({ copies }) => copies) };
  return [prefix, members.filter(({ ids }) => ids.length > shared)];
}

function branch({ ids, copies }: Member, shared: number, start: number): Segment {
  return { ids, from: shared, end: ids.length, shared: [shared === 0 ? 0 : start, shared === 0 ? 0 : start + shared], scored: [copies] };
}
