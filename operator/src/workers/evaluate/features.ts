// What a style baseline sees of a text, and of a candidate beside a reference: length, words, punctuation, markdown, shared words. No model.

const WORD = /[\p{L}\p{N}_]+(?:['’][\p{L}\p{N}_]+)*/gu;
/** Counted per word. */
const PER_WORD = [/,/g, /\./g, /:/g, /;/g, /\?/g, /!/g, /["“”]/g, /[()[\]]/g, /[–—]| - /g, /['’]/g, /\b(?:I|I'm|I've|I'll|my|me)\b/g];
/** Counted by line or span, on a logarithmic scale. */
const COUNTED = [/^.*\S.*$/gm, /\n\s*\n/g, /\*\*[^*\n]+\*\*/g, /^#{1,6} /gm, /^[^\S\n]*[-*•] /gm, /^[^\S\n]*\d+[.)] /gm, /```/g, /^[^\S\n]*\|/gm];
/** Shares of the characters. */
const SHARES = [/[A-Z]/g, /[0-9]/g, /\s/g, /[^\0-\x7f]/g];
const THERE = [/[.!?]["”’)]?\s*$/, /^\s*[A-Z]/, ...['as an ai', 'language model', "i'm sorry", 'i apologize', 'certainly', 'sure', 'of course', 'here is', 'here are', 'let me know', 'in conclusion', 'overall', 'however'].map((phrase) => new RegExp(`\\b${phrase}\\b`, 'i'))];

/** One text as the baseline keeps it. */
export interface Profile { readonly style: readonly number[]; readonly words: ReadonlyMap<string, number> }

export function profile(text: string): Profile {
  const words = (text.match(WORD) ?? []).map((word) => word.toLowerCase());
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const count = (pattern: RegExp): number => text.match(pattern)?.length ?? 0;
  const letters = words.reduce((sum, word) => sum + word.length, 0);
  const [total, length] = [Math.max(1, words.length), Math.max(1, text.length)];
  const style = [
    Math.log1p(text.length), Math.log1p(words.length), letters / total, counts.size / total, Math.log1p(words.length / Math.max(1, count(/[.!?]+(?:\s|$)/g))),
    ...PER_WORD.map((pattern) => count(pattern) / total), ...COUNTED.map((pattern) => Math.log1p(count(pattern))),
    ...SHARES.map((pattern) => count(pattern) / length), ...THERE.map((pattern) => Number(pattern.test(text))),
  ];
  return { style, words: counts };
}

/** A candidate beside a reference: distances of style, its own style, and how many words they share. */
export function nearness(reference: Profile, candidate: Profile): number[] {
  const shared = [...reference.words.keys()].filter((word) => candidate.words.has(word));
  const norm = ({ words }: Profile): number => Math.sqrt([...words.values()].reduce((sum, count) => sum + count ** 2, 0));
  const product = shared.reduce((sum, word) => sum + (reference.words.get(word) ?? 0) * (candidate.words.get(word) ?? 0), 0);
  return [
    ...reference.style.map((value, at) => Math.abs(value - (candidate.style[at] ?? 0))), ...candidate.style,
    product / Math.max(1e-9, norm(reference) * norm(candidate)), shared.length / Math.max(1, reference.words.size + candidate.words.size - shared.length),
  ];
}
