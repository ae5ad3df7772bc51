// Texts with the content broken and the style kept, and the reverse.

const WORD = /[\p{L}\p{N}]+(?:['’][\p{L}]+)*/gu;
/** Words of this length and longer carry most of the content; shorter ones hold sentences together. */
const CONTENT_LENGTH = 4;

/** The longer words in another order; short words, punctuation, line breaks, markdown and capitals at the beginning of words stay where they are. */
export function breakContent(text: string, random: (bound: number) => number): string {
  const content = (text.match(WORD) ?? []).filter(({ length }) => length >= CONTENT_LENGTH);
  for (let at = content.length - 1; at > 0; at -= 1) {
    const other = random(at); // below at, so that no word stays (Sattolo)
    [content[at], content[other]] = [content[other] ?? '', content[at] ?? ''];
  }
  let next = 0;
  return text.replace(WORD, (word) => (word.length < CONTENT_LENGTH ? word : withCase(content[next++] ?? word, word)));
}

function withCase(word: string, like: string): string {
  const [first = ''] = word;
  const [model = ''] = like;
  return (model === model.toLowerCase() ? first.toLowerCase() : first.toUpperCase()) + word.slice(first.length);
}

/** The words in their order and nothing else of how they were written: no capitals, no punctuation but full stops, no lines, no markdown. */
export function breakStyle(text: string): string {
  const sentences = text.replace(/[.!?]+(?=\s|$)/g, '\u0000').split('\u0000');
  return sentences.map((sentence) => (sentence.match(WORD) ?? []).join(' ').toLowerCase()).filter((sentence) => sentence !== '').join('. ');
}

/** Every digit another one; nothing else changes. */
export function changeNumbers(text: string, random: (bound: number) => number): string {
  return text.replace(/[0-9]/g, (digit) => String((Number(digit) + 1 + random(9)) % 10));
}
