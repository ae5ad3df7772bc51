// Random initial segments of documents (paper, App. D.1.1: 1 to 1024 tokens).
import { readFile } from 'node:fs/promises';
import { Tokenizer } from 'tokenizers';
import { below } from './chance.ts';
import { ConfigError, type PromptsConfig } from './config.ts';

/** Where the first tokens of each text end, in UTF-16 units, in order: `most` of each, fewer only when it has fewer. */
export type TokenEnds = (texts: readonly string[], most: readonly number[]) => Promise<number[][]>;

// Characters per token that a first look allows for; a text with longer tokens is looked at again.
const FIRST_LOOK = 6;
const SECOND_LOOK = 64;
// Tokens before a place where a text was cut for the look may differ from those of the whole text.
const DOUBTFUL = 8;
const PIECE = /\s*(?:[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|[\p{L}\p{M}\p{N}_]+?(?=[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Thai}]|[^\p{L}\p{M}\p{N}_]|$)|[^\s\p{L}\p{M}\p{N}_])/gu;

/** Token ends by the configured tokenizer, else by words, marks and CJK characters. */
export async function tokenEnds(config: PromptsConfig): Promise<TokenEnds> {
  if (config.tokenizerPath === undefined) return (texts, most) => Promise.resolve(texts.map((text, i) => pieceEnds(text, most[i] ?? 0)));
  const library = await load(config.tokenizerPath);
  const look = async (texts: readonly string[], most: readonly number[], perToken: number): Promise<(number[] | undefined)[]> => {
    const heads = texts.map((text, i) => whole(text.slice(0, ((most[i] ?? 0) + DOUBTFUL) * perToken)));
    const encodings = await library.encodeBatch(heads, { addSpecialTokens: false });
    return encodings.map((encoding, i) => {
      const [head = '', wanted = 0, offsets] = [heads[i], most[i], encoding.getOffsets()];
      const enough = head.length === texts[i]?.length || perToken === SECOND_LOOK || offsets.length >= wanted + DOUBTFUL;
      return enough ? unitEnds(head, offsets.slice(0, wanted)) : undefined;
    });
  };
  return async (texts, most) => {
    const found = await look(texts, most, FIRST_LOOK);
    const again = [...found.keys()].filter((i) => found[i] === undefined);
    const more = again.length === 0 ? [] : await look(again.map((i) => texts[i] ?? ''), again.map((i) => most[i] ?? 0), SECOND_LOOK);
    again.forEach((i, at) => { found[i] = more[at]; });
    return found.map((ends) => ends ?? []);
  };
}

/** How many tokens an initial segment is to have. */
export function drawLength({ least, most }: PromptsConfig['prefixTokens'], key: string): number {
  return least + below(most - least + 1, key);
}

/** The initial segment of `wanted` tokens, of a drawn number of them when the text has no more than that; something is left to continue. Undefined when it is too short. */
export function segmentOf(text: string, ends: readonly number[], { wanted, least, key }: { wanted: number; least: number; key: string }): string | undefined {
  const longest = ends.length - 1;
  if (longest < least) return undefined;
  const tokens = wanted <= longest ? wanted : least + below(longest - least + 1, `again ${key}`);
  const segment = text.slice(0, ends[tokens - 1]);
  return segment.trim() === '' ? undefined : segment;
}

function pieceEnds(text: string, most: number): number[] {
  const ends: number[] = [];
  const head = whole(text.slice(0, (most + DOUBTFUL) * SECOND_LOOK));
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
