// Lists are long, and mostly fields that nobody reads. Those are cut out of the bytes as they come, and one item is parsed at a
// time: a list that is text as a whole, and then objects as a whole, costs more in garbage collection than in parsing.

export interface ItemReader {
  /** Fields of items whose arrays and objects nobody reads: they come as `[]` and `{}`. */
  readonly unread: readonly string[];
  readonly take: (item: unknown) => void;
}

// Written out, since what is looked up takes twice the time.
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const COMMA = 0x2c;
const OPEN = 0x5b;
const CLOSE = 0x5d;
const BEGIN = 0x7b;
const END = 0x7d;
const SPACE = 0x20;
const ITEMS = '"items":[';
const WINDOW_BYTES = 64 << 10;

/**
 * Hands over the items of a list in JSON, each as soon as it has come, and returns the list without them. Names and values
 * must have no white space between them, as the API server writes them, or nothing is cut out. Throws SyntaxError when the
 * bytes are not a list; items before the fault were handed over by then.
 */
export async function readList(chunks: AsyncIterable<Uint8Array>, { unread, take }: ItemReader, windowBytes = WINDOW_BYTES): Promise<unknown> {
  const names = unread.map((name) => Buffer.from(name));
  let window = Buffer.allocUnsafeSlow(windowBytes);
  let [filled, head] = [0, ''];
  const takeIn = (): void => {
    const bytes = window.subarray(0, filled);
    const begin = head === '' ? endOfHead(bytes) : 0;
    head += bytes.toString('utf8', 0, begin);
    const taken = head === '' ? 0 : takeItems(bytes, begin, { unread: names, take });
    window.copyWithin(0, taken, filled);
    filled -= taken;
  };
  for await (const chunk of chunks) {
    if (filled + chunk.length > window.length) takeIn();
    if (filled + chunk.length > window.length) window = Buffer.concat([window], 2 * (filled + chunk.length));
    window.set(chunk, filled);
    filled += chunk.length;
  }
  takeIn();
  const list = JSON.parse(head + window.toString('utf8', 0, filled)) as { readonly items?: unknown };
  // Written in a way that was not recognised.
  if (Array.isArray(list.items)) for (const item of list.items) take(item);
  return { ...list, items: [] };
}

/** Where the first item begins; 0 when that is not there yet. Within a string each quote has a backslash before it, and nothing but items has such a field. */
function endOfHead(bytes: Buffer): number {
  const found = bytes.indexOf(ITEMS);
  return found === -1 ? 0 : found + ITEMS.length;
}

/** Hands over the items that are there as a whole; returns where the first one begins that is not, or the end of the list. */
function takeItems(bytes: Buffer, from: number, { unread, take }: { readonly unread: readonly Buffer[]; readonly take: ItemReader['take'] }): number {
  let at = from;
  for (;;) {
    while (isBetween(bytes[at])) at += 1;
    const kept = bytes[at] === BEGIN ? keptOf(bytes, at, unread) : undefined;
    if (kept === undefined) return at;
    let text = '';
    for (let i = 0; i < kept.length; i += 2) text += bytes.toString('utf8', kept[i], kept[i + 1]);
    take(JSON.parse(text));
    at = kept.at(-1) ?? at;
  }
}

function isBetween(byte: number | undefined): boolean {
  return byte !== undefined && (byte === COMMA || byte <= SPACE);
}

/** Where the parts begin and end, in turns, that are left of the object which begins there; undefined when its end is not there yet. */
function keptOf(bytes: Buffer, begin: number, unread: readonly Buffer[]): readonly number[] | undefined {
  const { length } = bytes;
  const kept = [begin];
  let depth = 0;
  for (let at = begin; at < length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) {
      const name = at + 1;
      at = endOfString(bytes, name);
      if (!isUnread(bytes, name, at, unread)) continue;
      const value = at + 2;
      at = endOfValue(bytes, value);
      kept.push(value + 1, at);
    } else if (byte === BEGIN || byte === OPEN) depth += 1;
    else if ((byte === END || byte === CLOSE) && --depth === 0) return [...kept, at + 1];
  }
  return undefined;
}

/** Whether the string is the name of an array or object that nobody reads: after a value a colon could not follow. */
function isUnread(bytes: Buffer, from: number, to: number, unread: readonly Buffer[]): boolean {
  if (bytes[to + 1] !== COLON || (bytes[to + 2] !== OPEN && bytes[to + 2] !== BEGIN)) return false;
  return unread.some((name) => name.length === to - from && name.compare(bytes, from, to) === 0);
}

/** Where the bracket is that closes the array or object which begins there. */
function endOfValue(bytes: Buffer, begin: number): number {
  const { length } = bytes;
  let depth = 0;
  for (let at = begin; at < length; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) at = endOfString(bytes, at + 1);
    else if (byte === BEGIN || byte === OPEN) depth += 1;
    else if ((byte === END || byte === CLOSE) && --depth === 0) return at;
  }
  return length;
}

/** Where the quote is that closes a string whose text begins there. */
function endOfString(bytes: Buffer, begin: number): number {
  const { length } = bytes;
  let at = begin;
  while (at < length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at;
}
