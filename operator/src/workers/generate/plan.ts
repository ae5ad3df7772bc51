// Which policies answer which prefix, which shard a prefix is in and which worker makes a shard: functions of the seed
// and of numbers that are fixed when the corpus begins (paper, App. D.1.1: two policies per prefix, one triplet).
import { below } from './chance.ts';

export const SAMPLES = 3;
export type Split = 'train' | 'held-out';
export type PromptKind = 'text' | 'instructions';

/** Indices of policies that may answer one kind of prompts. */
export interface Pool { readonly seen: readonly number[]; readonly heldOut: readonly number[] }

export interface PlanInput {
  readonly seed: number;
  /** Prefixes; the first `heldOutPrompts` of them are held out. */
  readonly prompts: number;
  readonly heldOutPrompts: number;
  readonly shardPrefixes: number;
  readonly pools: Readonly<Record<PromptKind, Pool>>;
}

/** Prefixes [from, to) of one split, written as one shard. */
export interface Block { readonly number: number; readonly split: Split; readonly from: number; readonly to: number }

/** One request: `sample` counts those of one policy on one prefix. */
export interface Ask { readonly prefix: number; readonly slot: number; readonly policy: number; readonly sample: number; readonly seed: number }

/** All shards of a corpus in order; a shard holds prefixes of one split. */
export function blocksOf({ prompts, heldOutPrompts, shardPrefixes }: PlanInput): Block[] {
  const blocks: Block[] = [];
  const cut = (split: Split, from: number, to: number): void => {
    for (let at = from; at < to; at += shardPrefixes) blocks.push({ number: blocks.length, split, from: at, to: Math.min(at + shardPrefixes, to) });
  };
  cut('held-out', 0, heldOutPrompts);
  cut('train', heldOutPrompts, prompts);
  return blocks;
}

/** The neighbouring shards that worker `index` of `count` makes; over all workers each shard once. */
export function ownBlocks(blocks: readonly Block[], index: number, count: number): Block[] {
  return blocks.slice(Math.floor((index * blocks.length) / count), Math.floor(((index + 1) * blocks.length) / count));
}

/** The three requests of a prefix: two to a first policy (reference and positive), one to another (negative). */
export function asksOf(plan: PlanInput, prefix: number, kind: PromptKind): Ask[] {
  const [first, second] = drawPolicies(plan, prefix, kind);
  return [first, first, second].map((policy, slot) => ({ prefix, slot, policy, sample: slot === 1 ? 1 : 0, seed: below(2 ** 31, `sample ${String(plan.seed)} ${String(prefix)} ${String(slot)}`) }));
}

/** Held-out policies answer every second held-out prompt: both when there are two, else one beside a policy that is not held out. */
function drawPolicies(plan: PlanInput, prefix: number, kind: PromptKind): readonly [number, number] {
  const { seen, heldOut } = plan.pools[kind];
  const key = `policies ${String(plan.seed)} ${String(prefix)}`;
  const unseen = prefix < plan.heldOutPrompts && heldOut.length > 0 && prefix % 2 === 0;
  const firsts = unseen ? heldOut : seen;
  const seconds = unseen && heldOut.length === 1 ? seen : firsts;
  const first = firsts[below(firsts.length, `${key} 0`)];
  const others = firsts === seconds ? seconds.filter((policy) => policy !== first) : seconds;
  const second = others[below(others.length, `${key} 1`)];
  if (first === undefined || second === undefined) throw new Error(`expected two policies for ${kind}, got ${String(seen.length)} and ${String(heldOut.length)} held out`);
  return [first, second];
}
