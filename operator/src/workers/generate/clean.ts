// What is cut off outputs: repetition loops down to two repetitions, so that the inclination to loop stays visible, and
// endings that were cut by the token limit. Nothing is left out (paper, App. D.1.1).

export type Truncated = 'none' | 'loop' | 'incomplete';
export interface Cleaned { readonly text: string; readonly truncated: Truncated; /** UTF-16 units cut off. */ readonly cut: number }
export interface CleaningRules { readonly loopRepeats: number; readonly loopLength: number; readonly incomplete: 'truncate' | 'keep' }

const KEPT_REPEATS = 2;
// Behind the mark: closing quotes and brackets, then white space or the end. Full-width marks need nothing behind them.
const SENTENCE_END = /[.!?…]["'”’»)\]*_`]*(?=\s|$)|[。！？]["'”’»」』）]*|\n/gu;

/** An output as a row holds it; `cutByLimit` says that generation ended at the token limit. */
export function clean(output: string, cutByLimit: boolean, rules: CleaningRules): Cleaned {
  const loop = loopStart(output, rules);
  if (loop < output.length) return cutAt(output, loop, 'loop');
  if (!cutByLimit || rules.incomplete === 'keep') return { text: output, truncated: 'none', cut: 0 };
  const end = lastSentenceEnd(output);
  return end === 0 || end === output.length ? { text: output, truncated: 'none', cut: 0 } : cutAt(output, end, 'incomplete');
}

/** Where to cut a text whose end repeats one unit, behind the second repetition; its length when there is no loop. */
export function loopStart(text: string, { loopRepeats, loopLength }: CleaningRules): number {
  const periodic = periodicTail(text, loopRepeats, loopLength);
  if (periodic === undefined) return text.length;
  const at = text.length - periodic.length + KEPT_REPEATS * periodic.period;
  return at < text.length ? wholeCharacter(text, at) : text.length;
}

/** The shortest period with which a tail of the text repeats often enough, by the Z-function of the text read backwards. */
function periodicTail(text: string, repeats: number, least: number): { period: number; length: number } | undefined {
  const n = text.length;
  if (n < least) return undefined;
  const z = new Int32Array(Math.floor(n / repeats) + 2);
  for (let i = 1, left = 0, right = 0; i < n; i += 1) {
    let same = i < right ? Math.min(right - i, z[i - left] ?? 0) : 0;
    while (i + same < n && text.charCodeAt(n - 1 - same) === text.charCodeAt(n - 1 - i - same)) same += 1;
    z[i] = same;
    if (i + same > right) [left, right] = [i, i + same];
    if (i + same >= Math.max(least, repeats * i)) return { period: i, length: i + same };
    if (i * repeats > n) return undefined;
  }
  return undefined;
}

function lastSentenceEnd(text: string): number {
  let end = 0;
  for (const match of text.matchAll(SENTENCE_END)) end = match.index + match[0].trimEnd().length;
  return text.slice(0, end).trimEnd().length;
}

function cutAt(text: string, at: number, truncated: Truncated): Cleaned {
  return { text: text.slice(0, at), truncated, cut: text.length - at };
}

function wholeCharacter(text: string, at: number): number {
  const unit = text.charCodeAt(at);
  return unit >= 0xdc00 && unit <= 0xdfff ? at + 1 : at;
}
