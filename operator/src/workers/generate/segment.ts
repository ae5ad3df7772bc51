// Random initial segments of documents (paper, App. D.1.1: 1 to 1024 tokens).
import { readFile } from 'node:fs/promises';
import { Tokenizer } from 'tokenizers';
import { below } from './chance.ts';
import { ConfigError, type PromptsConfig } from './config.ts';

/** Where the first `most` tokens of a text end, in UTF-16 units, in order. */
export type TokenEnds = (texts: readonly string[], most: number) => Promise<number[][]>;

// A token of a byte-level vocabulary is rarely longer; where it is, the segment is only shorter than drawn.
const LONGEST_TOKEN = 16;
const PIECE = /\s*(?:[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|[\p{L}\p{M}\p{N}_]+?(?=[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|[^\p{L}\p{M}\p{N}_]|$)|[^\s\p{L}\p{M}\p{N}_])/gu;

/** Token ends by the configured tokenizer, else by words, marks and CJK characters. */
export async function tokenEnds(config: PromptsConfig): Promise<TokenEnds> {
  if (config.tokenizerPath === undefined) return (texts, most) => Promise.resolve(texts.map((text) => pieceEnds(text, most)));
  const library = await load(config.tokenizerPath);
  return async (texts, most) => {
    const heads = texts.map((text) => whole(text.slice(0, most * LONGEST_TOKEN)));
    const encodings = await library.encodeBatch(heads, { addSpecialTokens: false });
    return encodings.map((encoding, i) => unitEnds(heads[i] ?? '', encoding.getOffsets().slice(0, most)));
  };
}

/** An initial segment of drawn length that leaves something to continue; undefined when the document is too short. */
export function segmentOf(text: string, ends: readonly number[], lengths: PromptsConfig['prefixTokens'], key: string): string | undefined {
  const longest = Math.min(lengths.most, ends.length - 1);
  if (longest < lengths.least) return undefined;
  const tokens = lengths.least + below(longest - lengths.least + 1, key);
  const segment = text.slice(0, ends[tokens - 1]);
  return segment.trim() === '' ? undefined : segment;
}

function pieceEnds(text: string, most: number): number[] {
  const ends: number[] = [];
  const head = text.length > most * 64 ? whole(text.slice(0, most * 64)) : text;
  for (const match of head.matchAll(PIECE)) {
    ends.push(match.index + match[0].length);
    if (ends.length === most) break;
  }
  return ends;
}

/** The library counts code points; a character of several tokens ends with the last of them. */
function unitEnds(text: string, offsets: readonly (readonly number[])[]): number[] {
  const ends: number[] = [];
  let [points, units] = [0, 0];
  for (const [, end = 0] of offsets) {
    for (; points < end; points += 1) units += (text.codePointAt(units) ?? 0) > 0xffff ? 2 : 1;
    ends.push(units);
  }
  return ends;
}

function whole(text: string): string {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff ? text.slice(0, -1) : text;
}

async function load(path: string): Promise<Tokenizer> {
  try {
    const library = Tokenizer.fromString(await readFile(path, 'utf8'));
    library.disablePadding();
    library.disableTruncation();
    return library;
  } catch (error) {
    throw new ConfigError(`${path}: not a tokenizer file: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
