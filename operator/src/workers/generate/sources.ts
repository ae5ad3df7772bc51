// Documents and rows of .txt, .jsonl, .jsonl.gz and .parquet files, one at a time.
import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';
import type { SourceConfig } from './config.ts';
import { DataError } from './config.ts';
import { readParquet } from './parquet.ts';

const SUFFIXES = ['.txt', '.jsonl', '.jsonl.gz', '.parquet'];
const LONGEST_LINE = 64 * 2 ** 20;
const LONGEST_FILE_DOCUMENT = 2 ** 20;

/** A piece of a file; `place` counts lines or rows from 1. */
export interface Piece { readonly file: string; readonly place: number; readonly value: unknown }
/** Identity of a file that was read whole, for provenance. */
export interface FileRead { readonly file: string; readonly bytes: number; readonly sha256: string | null }

/** The data files at a path, those in folders of a folder too, by name. DataError when there is none. */
export async function listFiles(path: string, suffixes: readonly string[] = SUFFIXES): Promise<string[]> {
  const wanted = (name: string): boolean => suffixes.some((suffix) => name.endsWith(suffix));
  const info = await stat(path).catch((error: unknown) => { throw new DataError(`${path}: cannot read: ${error instanceof Error ? error.message : String(error)}`); });
  const found = info.isDirectory() ? (await readdir(path, { recursive: true })).filter(wanted).sort().map((name) => join(path, name)) : [path].filter(wanted);
  if (found.length === 0) throw new DataError(`${path}: expected ${info.isDirectory() ? 'at least one file' : 'a name'} ending in ${suffixes.join(', ')}`);
  return found;
}

/** Everything in one file: objects of rows, strings of documents. DataError names file and line of what cannot be read. */
export async function* readPieces(file: string, documents: SourceConfig['documents'], columns: readonly string[] | undefined, onRead?: (read: FileRead) => void): AsyncGenerator<Piece> {
  if (file.endsWith('.parquet')) {
    yield* readParquet(file, columns);
    const { size } = await stat(file);
    onRead?.({ file, bytes: size, sha256: await hashFile(file) });
    return;
  }
  const digest = createHash('sha256');
  const counted = { bytes: 0 };
  if (file.endsWith('.txt')) yield* readTexts(file, documents, { digest, counted });
  else yield* readJsonLines(file, { digest, counted });
  // A limit ends the reading early: then the file was not hashed to its end and this is not reached.
  onRead?.({ file, bytes: counted.bytes, sha256: digest.digest('hex') });
}

interface Tap { readonly digest: Hash; readonly counted: { bytes: number } }

async function* readJsonLines(file: string, tap: Tap): AsyncGenerator<Piece> {
  for await (const { text, line } of readLines(file, tap)) {
    if (text.trim() === '') continue;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new DataError(`${file}:${String(line)}: not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
    yield { file, place: line, value };
  }
}

async function* readTexts(file: string, documents: SourceConfig['documents'], tap: Tap): AsyncGenerator<Piece> {
  if (documents === 'line') {
    for await (const { text, line } of readLines(file, tap)) if (text.trim() !== '') yield { file, place: line, value: text };
    return;
  }
  const document = { text: '', from: 1 };
  for await (const { text, line } of readLines(file, tap)) {
    if (documents === 'file' || text.trim() !== '') extend(document, text, line);
    else if (document.text !== '') {
      yield { file, place: document.from, value: document.text };
      document.text = '';
    }
  }
  if (document.text.trim() !== '') yield { file, place: document.from, value: document.text };
}

/** Only the beginning of a document matters. */
function extend(document: { text: string; from: number }, text: string, line: number): void {
  if (document.text === '') [document.from, document.text] = [line, text];
  else if (document.text.length < LONGEST_FILE_DOCUMENT) document.text += `\n${text}`;
}

async function* readLines(file: string, { digest, counted }: Tap): AsyncGenerator<{ text: string; line: number }> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let [line, parts, length] = [0, [] as Buffer[], 0];
  const decode = (): string => {
    line += 1;
    const bytes = parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts);
    [parts, length] = [[], 0];
    try {
      const text = decoder.decode(bytes);
      return text.endsWith('\r') ? text.slice(0, -1) : text;
    } catch {
      throw new DataError(`${file}:${String(line)}: expected UTF-8`);
    }
  };
  for await (const chunk of bytesOf(file, digest, counted)) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end));
      yield { text: decode(), line };
      from = end + 1;
    }
    parts.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > LONGEST_LINE) throw new DataError(`${file}:${String(line + 1)}: expected a line of at most ${String(LONGEST_LINE)} bytes`);
  }
  if (parts.some((part) => part.length > 0)) yield { text: decode(), line };
}

async function* bytesOf(file: string, digest: Hash, counted: { bytes: number }): AsyncGenerator<Buffer> {
  const raw = createReadStream(file, { highWaterMark: 2 ** 18 });
  raw.on('data', (chunk) => { digest.update(chunk); counted.bytes += chunk.length; });
  const stream = file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw;
  raw.on('error', (error) => stream.destroy(error));
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`${file}: cannot read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    raw.destroy();
  }
}

/** SHA-256 of a file as hex. */
export async function hashFile(file: string): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) digest.update(chunk as Buffer);
  return digest.digest('hex');
}
