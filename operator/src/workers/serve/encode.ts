// From (prompt, reference, candidate) to the token sequence a POLAR model scores: the official text-level encoding, as
// trainer/polar/encode.py has it (rules and defaults are described there). testdata/encoding holds both to the same ids.
import type { Tokenizer } from './tokenizer.ts';

export const SEPARATOR = '<|reward|>';
export const REWARD = '[UNUSED_TOKEN_130]';
const NESTING = 8;
/** The reward token, two joiners and the separator. */
const RESERVED = 4;

export type Wrapper = 'pretrain' | 'sft';
export type Ids = readonly number[];
export interface Message { readonly content: string }
export type Content = string | readonly Message[];

/** One prompt with one response. */
export interface Text { readonly prompt: string; readonly response: string; readonly wrapper: Wrapper }

/** Sequence limits in tokens, and the two choices on which the official sources disagree (released client: right, newline). */
export interface Limits {
  readonly maxLength: number;
  readonly maxResponseLength: number;
  readonly cutSide: 'right' | 'left';
  readonly emptyResponse: 'newline' | 'omit';
}

/** What encodes: both for the whole life of a checkpoint. */
export interface Encoder { readonly tokenizer: Tokenizer; readonly limits: Limits }

/** Tokens of one joined text, its prompt whole: before a separator and behind one. Costs are official lengths, BOS counted. */
export interface EncodedRow { readonly first: Ids; readonly second: Ids; readonly promptCost: number; readonly responseCost: number; readonly cut: boolean }

/** Which texts lost tokens to the limits. */
export interface Truncated { readonly prompt: boolean; readonly reference: boolean; readonly candidate: boolean }
export interface Encoded { readonly ids: number[]; readonly truncated: Truncated }

/** Text of a prompt or response: a string as it is, or the contents of a message list joined by newlines. */
export function flatten(content: Content): string {
  return typeof content === 'string' ? content : content.map((message) => message.content).join('\n');
}

/** What finds the names of special tokens written in a text, and the characters with which names begin. */
export interface Literals { readonly name: RegExp; readonly start: RegExp }

/** Patterns for these names; a name wins over a shorter one that begins it. */
export function findLiterals(names: readonly string[]): Literals {
  const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`);
  const ordered = [...names].sort((a, b) => b.length - a.length);
  const starts = [...new Set(names.map((name) => String.fromCodePoint(name.codePointAt(0) ?? 0)))];
  return { name: new RegExp(ordered.map(escape).join('|'), 'gu'), start: new RegExp(`[${starts.map(escape).join('')}]`, 'gu') };
}

/**
 * The text without names of special tokens, also without those that appear when others are taken out. Names nested deeper
 * than NESTING lose every character with which a name can begin: layer by layer would cost the square of their length.
 */
export function stripLiterals(text: string, literals: Literals): string {
  let left = text;
  for (let layer = 0; layer < NESTING; layer += 1) {
    if (left.search(literals.name) < 0) return left;
    left = left.replace(literals.name, '');
  }
  return left.search(literals.name) < 0 ? left : left.replace(literals.start, '');
}

/** Tokens left for a prompt, BOS counted, never negative: with a reference each of two copies gets so many. */
export function room(reference: number | null, candidates: readonly number[], limits: Limits): number {
  const left = limits.maxLength - RESERVED - Math.max(...candidates);
  return Math.max(0, reference === null ? left : Math.floor((left - reference) / 2));
}

/** Whether a group keeps its prompts whole, so that `assemble` gives what `encodeGroup` gives. */
export function fits(reference: EncodedRow | null, candidates: readonly EncodedRow[], limits: Limits): boolean {
  const left = room(reference?.responseCost ?? null, candidates.map((row) => row.responseCost), limits);
  const rows = reference === null ? candidates : [reference, ...candidates];
  if (rows.some((row) => row.promptCost > left)) return false;
  if (reference === null) return Math.max(...candidates.map((row) => row.first.length)) + 2 <= limits.maxLength;
  return reference.first.length + Math.max(...candidates.map((row) => row.second.length)) + 3 <= limits.maxLength;
}

/** Sequences of one reference with each candidate, the reward token last. Cuts nothing. */
export function assemble(reference: EncodedRow | null, candidates: readonly EncodedRow[], tokenizer: Tokenizer): number[][] {
  return candidates.map((row) => sequence(reference?.first ?? null, reference === null ? row.first : row.second, tokenizer));
}

/** The tokens of each text alone, prompts whole, responses cut to maxResponseLength. */
export async function encodeRows(texts: readonly Text[], encoder: Encoder): Promise<EncodedRow[]> {
  const { tokenizer } = encoder;
  const prompts = await tokenizer.tokens(texts.map((text) => text.prompt));
  const { kept, costs, cut } = await responses(texts, encoder);
  const joined = joinAll(texts, await tokenizer.texts(prompts), kept, encoder);
  const [first, second] = await Promise.all([tokenizer.tokens(joined), tokenizer.behind(joined)]);
  return texts.map((_, row) => ({
    first: first[row] ?? [], second: second[row] ?? [], promptCost: (prompts[row]?.length ?? 0) + 1, responseCost: costs[row] ?? 0, cut: cut[row] ?? false,
  }));
}

/**
 * Sequences of one reference with each candidate, cut as far as needed; the longest candidate decides how much prompt
 * all of them keep (official training code). Without a reference a sequence is BOS {prompt}{j}{candidate} REWARD.
 */
export async function encodeGroup(reference: Text | null, candidates: readonly Text[], encoder: Encoder): Promise<number[][]> {
  return (await cutGroup(reference, candidates, encoder)).found;
}

/** `ends`: even without any prompt it was too long, and all texts lost their ends. */
async function cutGroup(reference: Text | null, candidates: readonly Text[], encoder: Encoder): Promise<{ found: number[][]; ends: boolean }> {
  const { tokenizer, limits } = encoder;
  const group = reference === null ? candidates : [reference, ...candidates];
  const prompts = await tokenizer.tokens(group.map((text) => text.prompt));
  const { kept, costs } = await responses(group, encoder);
  let left = reference === null ? room(null, costs, limits) : room(costs[0] ?? 0, costs.slice(1), limits);
  for (;;) {
    const cut = await tokenizer.texts(prompts.map((prompt) => cutPrompt(prompt, left)));
    const joined = joinAll(group, cut, kept, encoder);
    const found = await sequences(joined, reference !== null, tokenizer);
    const excess = Math.max(...found.map((ids) => ids.length)) - limits.maxLength;
    if (excess <= 0) return { found, ends: false };
    if (left === 0) return { found: await sequences(joined, reference !== null, tokenizer, limits.maxLength), ends: true };
    left = Math.max(0, left - Math.max(1, Math.floor(excess / 6))); // tokenised again, a cut text can be longer, at worst three times
  }
}

/** Sequences of one reference with each candidate, each as if it were alone (released client). */
export async function encodeEach(reference: Text | null, candidates: readonly Text[], encoder: Encoder): Promise<Encoded[]> {
  const { tokenizer, limits } = encoder;
  const rows = await encodeRows(reference === null ? candidates : [reference, ...candidates], encoder);
  const first = reference === null ? null : rows[0] ?? null;
  const found: Encoded[] = [];
  for (const [at, row] of (first === null ? rows : rows.slice(1)).entries()) {
    const cuts = { reference: first?.cut === true, candidate: row.cut };
    const candidate = candidates[at];
    if (fits(first, [row], limits)) found.push({ ids: assemble(first, [row], tokenizer)[0] ?? [], truncated: { prompt: false, ...cuts } });
    else if (candidate !== undefined) found.push(await encodeCut(reference, candidate, cuts, encoder));
  }
  return found;
}

/** One sequence that does not fit; `cuts` is what its responses lost already. */
async function encodeCut(reference: Text | null, candidate: Text, cuts: Omit<Truncated, 'prompt'>, encoder: Encoder): Promise<Encoded> {
  const { found, ends } = await cutGroup(reference, [candidate], encoder);
  const truncated = { prompt: true, reference: cuts.reference || (ends && reference !== null), candidate: cuts.candidate || ends };
  return { ids: found[0] ?? [], truncated };
}

/** The part of a response that is kept. The cap counts a BOS in front, which a cut on the left drops first. */
function cutResponse(response: Ids, limits: Limits): Ids {
  if (response.length + 1 <= limits.maxResponseLength) return response;
  return limits.cutSide === 'right' ? response.slice(0, limits.maxResponseLength - 1) : response.slice(response.length - limits.maxResponseLength);
}

/** The last tokens of a prompt that fit in `left`; its BOS counts and is the first to go. */
function cutPrompt(prompt: Ids, left: number): Ids {
  return prompt.length + 1 <= left ? prompt : prompt.slice(Math.max(0, prompt.length - left));
}

function join(prompt: string, response: string, wrapper: Wrapper, limits: Limits): string {
  return wrapper === 'pretrain' || (response === '' && limits.emptyResponse === 'omit') ? prompt + response : `${prompt}\n${response}`;
}

/** Each response at its final length as text, its cost, and whether it was cut. */
async function responses(texts: readonly Text[], { limits, tokenizer }: Encoder): Promise<{ kept: string[]; costs: number[]; cut: boolean[] }> {
  const tokens = await tokenizer.tokens(texts.map((text) => text.response));
  const kept = await tokenizer.texts(tokens.map((ids) => cutResponse(ids, limits)));
  return {
    kept, costs: tokens.map((ids) => Math.min(ids.length + 1, limits.maxResponseLength)), cut: tokens.map((ids) => ids.length + 1 > limits.maxResponseLength),
  };
}

/** Prompts and responses joined. A name of a special token that only the joint makes is taken out as well. */
function joinAll(texts: readonly Text[], prompts: readonly string[], kept: readonly string[], { limits, tokenizer }: Encoder): string[] {
  return texts.map((text, at) => stripLiterals(join(prompts[at] ?? '', kept[at] ?? '', text.wrapper, limits), tokenizer.literals));
}

/** The sequences of joined texts; `most` cuts them to that length, whatever it takes. */
async function sequences(joined: readonly string[], referenced: boolean, tokenizer: Tokenizer, most = Infinity): Promise<number[][]> {
  if (!referenced) return (await tokenizer.tokens(joined)).map((ids) => sequence(null, ids.slice(0, most - 2), tokenizer));
  const end = Math.floor((most - 3) / 2);
  const [first = []] = await tokenizer.tokens(joined.slice(0, 1));
  return (await tokenizer.behind(joined.slice(1))).map((ids) => sequence(first.slice(0, end), ids.slice(0, end), tokenizer));
}

function sequence(reference: Ids | null, candidate: Ids, tokenizer: Tokenizer): number[] {
  const { bos, separator, reward } = tokenizer.ids;
  return reference === null ? [bos, ...candidate, reward] : [bos, ...reference, separator, ...candidate, reward];
}
