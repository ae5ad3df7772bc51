// From sources to prompts: initial segments and instructions, each once, in the order of a seeded hash, on disk.
import { hash } from 'node:crypto';
import { open, mkdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { DataError, type PromptsConfig, type SourceConfig } from './config.ts';
import { storageError } from './durable.ts';
import type { PromptKind } from './plan.ts';
import { drawLength, segmentOf, tokenEnds, type TokenEnds } from './segment.ts';
import { hashFile, listFiles, readPieces, type FileRead, type Piece } from './sources.ts';

const message = z.looseObject({ role: z.string(), content: z.string() });
const stored = z.object({ kind: z.enum(['text', 'instructions']), prompt: z.string(), messages: z.array(message).optional() });
export type Prompt = z.output<typeof stored>;
export type Message = z.output<typeof message>;

/** What became of one source. */
export interface SourceCount { readonly path: string; readonly kind: PromptKind; documents: number; tooShort: number; readonly files: FileRead[] }
/** The prompts of a corpus, as they lie in its folder. */
export interface PromptStore { readonly count: number; readonly repeated: number; readonly beyondLimit: number; readonly files: Readonly<Record<string, { bytes: number; sha256: string }>> }

const TEXTS = 'prompts.bin';
const OFFSETS = 'offsets.bin';
const BUCKET_BYTES = 8 * 2 ** 20;
const BUFFERED_BYTES = 4 * 2 ** 20;
const KEY_BYTES = 16;
const HEAD_BYTES = KEY_BYTES + 4;
const BATCH = 64;

/** Reads all sources and writes the store into `folder`, from nothing. DataError names what cannot be used. */
export async function preparePrompts(config: PromptsConfig, seed: number, folder: string): Promise<{ store: PromptStore; sources: SourceCount[] }> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  try {
    const ends = await tokenEnds(config);
    const buckets = new Buckets(folder, await bucketsFor(config.sources));
    const sources: SourceCount[] = [];
    for (const source of config.sources) {
      const count: SourceCount = { path: source.path, kind: source.kind, documents: 0, tooShort: 0, files: [] };
      sources.push(count);
      for await (const prompt of promptsOf({ source, config, seed, ends }, count)) await buckets.add(keyOf(prompt, seed), Buffer.from(JSON.stringify(prompt)));
    }
    const store = await sortInto(folder, buckets, config.limit ?? Infinity);
    if (store.count === 0) throw new DataError(`prompts.sources: expected at least one prompt, got none (${sources.map((one) => `${one.path}: ${String(one.documents)} documents, ${String(one.tooShort)} too short`).join('; ')})`);
    return { store, sources };
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw storageError(folder, error);
  }
}

interface Reading { readonly source: SourceConfig; readonly config: PromptsConfig; readonly seed: number; readonly ends: TokenEnds }

async function* promptsOf(reading: Reading, count: SourceCount): AsyncGenerator<Prompt> {
  let batch: string[] = [];
  for await (const piece of piecesOf(reading.source, count)) {
    if (reading.source.kind === 'instructions') {
      yield instructionOf(piece, reading.source.field ?? 'prompt');
      continue;
    }
    batch.push(textOf(piece, reading.source.field ?? 'text'));
    if (batch.length < BATCH) continue;
    yield* segments(batch, reading, count);
    batch = [];
  }
  yield* segments(batch, reading, count);
}

async function* piecesOf(source: SourceConfig, count: SourceCount): AsyncGenerator<Piece> {
  const field = source.field ?? (source.kind === 'text' ? 'text' : 'prompt');
  for (const file of await listFiles(source.path)) {
    for await (const piece of readPieces(file, source.documents, [field], (read) => count.files.push(read))) {
      if (source.limit !== undefined && count.documents >= source.limit) return;
      count.documents += 1;
      yield piece;
    }
  }
}

async function* segments(texts: readonly string[], { config, seed, ends }: Reading, count: SourceCount): AsyncGenerator<Prompt> {
  if (texts.length === 0) return;
  const keys = texts.map((text) => `length ${String(seed)} ${text}`);
  const wanted = keys.map((key) => drawLength(config.prefixTokens, key));
  const found = await ends(texts, wanted.map((tokens) => tokens + 1));
  for (const [i, text] of texts.entries()) {
    const prompt = segmentOf(text, found[i] ?? [], { wanted: wanted[i] ?? 0, least: config.prefixTokens.least, key: keys[i] ?? '' });
    if (prompt === undefined) count.tooShort += 1;
    else yield { kind: 'text', prompt };
  }
}

function textOf({ file, place, value }: Piece, field: string): string {
  const text = typeof value === 'string' ? value : (value as Record<string, unknown> | null)?.[field];
  if (typeof text === 'string' && text.isWellFormed()) return text;
  throw new DataError(`${file}:${String(place)}: ${field}: expected Unicode text, got ${show(text)}`);
}

/** A string asks as one user message; of a message list everything up to the last user message asks. */
function instructionOf({ file, place, value }: Piece, field: string): Prompt {
  const asked = typeof value === 'string' ? value : (value as Record<string, unknown> | null)?.[field];
  if (typeof asked === 'string' && asked.isWellFormed() && asked.trim() !== '') return { kind: 'instructions', prompt: asked };
  const list = z.array(message).safeParse(asked).data ?? [];
  const last = list.findLastIndex(({ role }) => role === 'user');
  if (last < 0 || list.some(({ content }) => !content.isWellFormed())) throw new DataError(`${file}:${String(place)}: ${field}: expected an instruction or a list of messages with one of the user, got ${show(asked)}`);
  const messages = list.slice(0, last + 1);
  const prompt = messages.map(({ content }) => content).join('\n');
  return messages.length === 1 ? { kind: 'instructions', prompt } : { kind: 'instructions', prompt, messages };
}

const show = (value: unknown): string => (value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80));

function keyOf(prompt: Prompt, seed: number): Buffer {
  return hash('sha256', `prompt ${String(seed)} ${prompt.kind} ${JSON.stringify(prompt.messages ?? null)} ${prompt.prompt}`, 'buffer').subarray(0, KEY_BYTES);
}

async function bucketsFor(sources: readonly SourceConfig[]): Promise<number> {
  let bytes = 0;
  for (const { path } of sources) for (const file of await listFiles(path)) bytes += (await stat(file)).size * (file.endsWith('.txt') || file.endsWith('.jsonl') ? 1 : 4);
  return Math.max(1, Math.min(1024, Math.ceil(bytes / BUCKET_BYTES)));
}

/** Records in files by the beginning of their key, so that sorting each in memory sorts all. */
class Buckets {
  readonly #folder: string;
  readonly #parts: Buffer[][];
  #buffered = 0;

  constructor(folder: string, count: number) {
    this.#folder = folder;
    this.#parts = Array.from({ length: count }, () => []);
  }

  async add(key: Buffer, body: Buffer): Promise<void> {
    const head = Buffer.alloc(HEAD_BYTES);
    key.copy(head);
    head.writeUInt32LE(body.length, KEY_BYTES);
    this.#parts[Math.floor((key.readUInt32BE(0) * this.#parts.length) / 2 ** 32)]?.push(head, body);
    this.#buffered += HEAD_BYTES + body.length;
    if (this.#buffered > BUFFERED_BYTES) await this.#flush();
  }

  /** The records of each bucket in order of their keys; a bucket's file is gone afterwards. */
  async *sorted(): AsyncGenerator<{ key: Buffer; body: Buffer }[]> {
    await this.#flush();
    for (const i of this.#parts.keys()) {
      const bytes = await readFile(this.#file(i)).catch(() => Buffer.alloc(0));
      const records: { key: Buffer; body: Buffer }[] = [];
      for (let at = 0; at < bytes.length;) {
        const from = at + HEAD_BYTES;
        const to = from + bytes.readUInt32LE(at + KEY_BYTES);
        records.push({ key: bytes.subarray(at, at + KEY_BYTES), body: bytes.subarray(from, to) });
        at = to;
      }
      yield records.sort((a, b) => a.key.compare(b.key));
      await rm(this.#file(i), { force: true });
    }
  }

  #file(i: number): string {
    return join(this.#folder, `bucket-${String(i)}.tmp`);
  }

  async #flush(): Promise<void> {
    for (const [i, parts] of this.#parts.entries()) {
      if (parts.length === 0) continue;
      const handle = await open(this.#file(i), 'a');
      await handle.writeFile(Buffer.concat(parts)).finally(() => handle.close());
      this.#parts[i] = [];
    }
    this.#buffered = 0;
  }
}

async function sortInto(folder: string, buckets: Buckets, limit: number): Promise<PromptStore> {
  const [texts, offsets] = await Promise.all([TEXTS, OFFSETS].map((name) => open(join(folder, name), 'wx')));
  if (texts === undefined || offsets === undefined) throw new Error('two files were opened');
  let [count, repeated, beyondLimit, at] = [0, 0, 0, 0];
  for await (const records of buckets.sorted()) {
    const unique = records.filter(({ key }, i) => records[i - 1]?.key.equals(key) !== true);
    repeated += records.length - unique.length;
    const taken = unique.slice(0, Math.max(0, limit - count));
    beyondLimit += unique.length - taken.length;
    const table = Buffer.alloc(8 * taken.length);
    taken.forEach(({ body }, i) => { table.writeDoubleLE((at += body.length), 8 * i); });
    await texts.writeFile(Buffer.concat(taken.map(({ body }) => body)));
    await offsets.writeFile(table);
    count += taken.length;
  }
  for (const file of [texts, offsets]) await file.sync().finally(() => file.close());
  const described = async (name: string): Promise<[string, { bytes: number; sha256: string }]> => [name, { bytes: (await stat(join(folder, name))).size, sha256: await hashFile(join(folder, name)) }];
  return { count, repeated, beyondLimit, files: Object.fromEntries([await described(TEXTS), await described(OFFSETS)]) };
}

/** Prompts by number, read from disk one at a time. */
export interface Prompts { readonly prompt: (i: number) => Promise<Prompt>; readonly close: () => Promise<void> }

/** Opens what `preparePrompts` wrote. DataError when the files are not those any more. */
export async function openPrompts(folder: string, store: PromptStore): Promise<Prompts> {
  for (const [name, { bytes }] of Object.entries(store.files)) {
    const size = await stat(join(folder, name)).then((info) => info.size, () => -1);
    if (size !== bytes) throw new DataError(`${join(folder, name)}: expected ${String(bytes)} bytes as corpus.json says, got ${size < 0 ? 'no file' : String(size)}: restore it, or begin a corpus in another folder`);
  }
  const [texts, offsets] = [await open(join(folder, TEXTS)), await open(join(folder, OFFSETS))];
  const prompt = async (i: number): Promise<Prompt> => {
    const table = Buffer.alloc(16);
    await offsets.read(table, i === 0 ? 8 : 0, i === 0 ? 8 : 16, Math.max(0, 8 * (i - 1)));
    const [from, to] = [table.readDoubleLE(0), table.readDoubleLE(8)];
    const bytes = Buffer.alloc(to - from);
    await texts.read(bytes, 0, bytes.length, from);
    try {
      return stored.parse(JSON.parse(bytes.toString()));
    } catch (error) {
      throw new DataError(`${join(folder, TEXTS)}: damaged at prompt ${String(i)}: begin a corpus in another folder`, { cause: error });
    }
  };
  return { prompt, close: async () => { await texts.close(); await offsets.close(); } };
}
