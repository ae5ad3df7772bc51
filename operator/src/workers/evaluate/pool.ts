// Pairs from a pool of policies, balanced so that a score of the candidate alone earns exactly one half.
import { shortHash } from '../generate/chance.ts';
import type { Answer, Comparison } from './comparison.ts';
import type { Trajectory } from './rows.ts';
import { drawer } from './statistics.ts';

export type Pairing = 'samePrompt' | 'crossPrompt';
/** `seen`: neither policy is among the unseen ones. */
export interface IdentityPair extends Comparison { readonly pairing: Pairing; readonly seen: boolean; readonly policies: { readonly chosen: string; readonly rejected: string } }

/** `perPolicyPair`: at most so many squares of every two policies; each square is two comparisons. */
export interface PoolDraw { readonly pairing: Pairing; readonly perPolicyPair: number; readonly seed: number; readonly unseen: ReadonlySet<string> }

type ByPrompt = ReadonlyMap<string, readonly Trajectory[]>;

/**
 * Squares of every two policies: their candidates on one prompt, and one reference by each (of the same prompt, or of another), so that
 * each candidate is right once and wrong once. Two policies that no prompt allows give none.
 */
export function drawPairs(rows: readonly Trajectory[], draw: PoolDraw): IdentityPair[] {
  const pool = new Map([...Map.groupBy(rows, ({ policy }) => policy)].map(([policy, own]) => [policy, Map.groupBy(own, ({ promptId }) => promptId)] as const));
  const names = [...pool.keys()].sort();
  return names.flatMap((first, at) => names.slice(at + 1).flatMap((second) => squares({ names: [first, second], of: [pool.get(first) ?? new Map(), pool.get(second) ?? new Map()] }, draw)));
}

interface Two { readonly names: readonly [string, string]; readonly of: readonly [ByPrompt, ByPrompt] }

function squares({ names, of: [first, second] }: Two, draw: PoolDraw): IdentityPair[] {
  const random = drawer(Number.parseInt(shortHash(JSON.stringify([draw.seed, draw.pairing, ...names]), 4), 16) | 0);
  const shared = [...first.keys()].filter((prompt) => second.has(prompt)).sort();
  const out: IdentityPair[] = [];
  for (let squared = 0; squared < draw.perPolicyPair && shared.length > 0;) {
    const [prompt = ''] = shared.splice(random(shared.length), 1);
    const one = take(first, prompt, draw.pairing, random);
    const other = take(second, prompt, draw.pairing, random);
    if (one === undefined || other === undefined) continue;
    squared += 1;
    out.push(pairOf(one, other, draw), pairOf(other, one, draw));
  }
  return out;
}

interface Drawn { readonly candidate: Trajectory; readonly reference: Trajectory }

/** A candidate of a policy on a prompt and a reference of it in other words, so that nothing is earned by copying; undefined where there is none. */
function take(own: ByPrompt, prompt: string, pairing: Pairing, random: (bound: number) => number): Drawn | undefined {
  const here = own.get(prompt) ?? [];
  const candidate = here[random(Math.max(1, here.length))];
  if (candidate === undefined) return undefined;
  if (pairing === 'samePrompt') {
    const others = here.filter(({ output }) => output !== candidate.output);
    const reference = others[random(Math.max(1, others.length))];
    return reference && { candidate, reference };
  }
  const prompts = [...own.keys()].filter((id) => id !== prompt);
  const there = (own.get(prompts[random(Math.max(1, prompts.length))] ?? '') ?? []).filter(({ output }) => output !== candidate.output);
  const reference = there[random(Math.max(1, there.length))];
  return reference && { candidate, reference };
}

function pairOf(own: Drawn, other: Drawn, { pairing, unseen }: PoolDraw): IdentityPair {
  const { promptId, prompt, wrapper, policy, output } = own.candidate;
  const reference: Answer = { prompt: own.reference.prompt, response: own.reference.output };
  const policies = { chosen: policy, rejected: other.candidate.policy };
  return { cluster: promptId, prompt, reference, chosen: output, rejected: other.candidate.output, wrapper, policies, pairing, seen: !unseen.has(policies.chosen) && !unseen.has(policies.rejected) };
}
