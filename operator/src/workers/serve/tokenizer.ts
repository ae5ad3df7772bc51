// The tokenizer of a checkpoint (tokenizer.json), through the library that the trainer uses too, so that ids are equal.
import { readFile } from 'node:fs/promises';
import { Tokenizer as Library } from 'tokenizers';
import { z } from 'zod';
import { findLiterals, REWARD, SEPARATOR, stripLiterals, type Ids, type Literals } from './encode.ts';

const BOS_NAMES = ['<s>', '<|begin_of_text|>', '<|startoftext|>', '[CLS]'];
const Added = z.object({ added_tokens: z.array(z.object({ content: z.string().min(1), special: z.boolean() })).default([]) });

export interface SpecialIds { readonly bos: number; readonly separator: number; readonly reward: number }

export interface Tokenizer {
  readonly ids: SpecialIds;
  /** Finds the names of special tokens written in a text. */
  readonly literals: Literals;
  /** Token ids of texts at the beginning of a sequence, without BOS. TypeError when a text has a lone surrogate. */
  readonly tokens: (texts: readonly string[]) => Promise<number[][]>;
  /** Token ids of texts behind a separator. */
  readonly behind: (texts: readonly string[]) => Promise<number[][]>;
  /** The official way back: decoded without special tokens. */
  readonly texts: (tokens: readonly Ids[]) => Promise<string[]>;
}

/** The tokenizer in a tokenizer.json. Error names the file, what was expected and what was got. */
export async function readTokenizer(file: string): Promise<Tokenizer> {
  return parseTokenizer(await readFile(file, 'utf8'), file);
}

/** The tokenizer in the text of a tokenizer.json; `source` names it in errors. */
export function parseTokenizer(json: string, source: string): Tokenizer {
  const { library, special } = load(json, source);
  const ids = specialIds(library, source);
  const literals = findLiterals([...new Set([SEPARATOR, REWARD, ...special])]);
  const tokens = async (texts: readonly string[]): Promise<number[][]> => {
    texts.forEach(refuseSurrogates);
    if (texts.length === 0) return [];
    const found = await library.encodeBatch([...texts], { addSpecialTokens: false });
    return found.map((encoding) => encoding.getIds());
  };
  return {
    ids, literals, tokens,
    behind: async (texts) => (await tokens(texts.map((text) => SEPARATOR + text))).map((found) => {
      if (found[0] !== ids.separator) throw new Error(`${source}: ${SEPARATOR} is not matched as one token: export the checkpoint again`);
      return found.slice(1);
    }),
    texts: async (all) => {
      const decoded = all.length === 0 ? [] : await library.decodeBatch(all.map((one) => [...one]), true);
      return decoded.map((text) => stripLiterals(text, literals));
    },
  };
}

function load(json: string, source: string): { library: Library; special: string[] } {
  try {
    const library = Library.fromString(json);
    library.disablePadding();
    library.disableTruncation();
    const { added_tokens: added } = Added.parse(JSON.parse(json));
    return { library, special: added.filter((token) => token.special).map((token) => token.content) };
  } catch (error) {
    throw new Error(`${source}: not a tokenizer file: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function specialIds(library: Library, source: string): SpecialIds {
  const separator = library.tokenToId(SEPARATOR);
  const reward = library.tokenToId(REWARD);
  if (separator === null || reward === null) {
    const found = separator === reward ? 'neither' : `only ${reward === null ? SEPARATOR : REWARD}`;
    throw new Error(`${source}: expected the special tokens ${SEPARATOR} and ${REWARD}, found ${found}`);
  }
  const [bos] = BOS_NAMES.map((name) => library.tokenToId(name)).filter((id) => id !== null);
  if (bos === undefined) throw new Error(`${source}: expected the special token ${BOS_NAMES.join(' or ')}, found none`);
  return { bos, separator, reward };
}

function refuseSurrogates(text: string): void {
  if (text.isWellFormed()) return;
  const at = [...text].findIndex((character) => !character.isWellFormed());
  throw new TypeError(`expected Unicode text, got a lone surrogate at character ${String(at)}`);
}
