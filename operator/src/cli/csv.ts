// A table of text: comma, semicolon, tab or bar between fields, any line ends, quotes, a byte order mark, UTF-8 or UTF-16.
import { createReadStream } from 'node:fs';
import { CsvError, parse } from 'csv-parse/sync';
import type { Io } from './command.ts';
import { Failure } from './command.ts';

const MAX_BYTES = 64 * 1024 * 1024;
const MAX_ROWS = 100_000;
const SEPARATORS = [',', '\t', ';', '|'] as const;
const SEPARATOR_NAMES = { ',': 'commas', '\t': 'tabs', ';': 'semicolons', '|': 'bars' } as const;

type Separator = (typeof SEPARATORS)[number];

export interface Row {
  /** Of the file, from 1; the last one of a row with line ends inside quotes. */
  readonly line: number;
  readonly fields: readonly string[];
}

export interface Sheet {
  readonly name: string;
  readonly separator: (typeof SEPARATOR_NAMES)[Separator];
  readonly header: Row;
  readonly rows: readonly Row[];
}

/** The text of a file, or of stdin for `-`. Throws Failure when there is none, it is larger than 64 MiB or not text. */
export async function readText(path: string, io: Io): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of path === '-' ? io.stdin : createReadStream(path)) {
      const bytes = Buffer.from(chunk as Uint8Array);
      size += bytes.length;
      if (size > MAX_BYTES) throw new Failure(`${nameOf(path)}: expected at most 64 MiB, got more; a law needs one row per run`);
      chunks.push(bytes);
    }
  } catch (error) {
    throw error instanceof Failure ? error : new Failure(`${nameOf(path)}: cannot be read: ${reasonOf(error as NodeJS.ErrnoException)}`);
  }
  return decode(Buffer.concat(chunks), nameOf(path));
}

export function nameOf(path: string): string {
  return path === '-' ? 'stdin' : path;
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  return { ENOENT: 'no such file', EACCES: 'no permission', EISDIR: 'it is a folder' }[code ?? ''] ?? message;
}

function decode(bytes: Buffer, name: string): string {
  const [first, second] = bytes;
  const encoding = first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8';
  let text: string;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new Failure(`${name}: expected text in UTF-8 or UTF-16, got other bytes`);
  }
  if (text.includes('\0')) throw new Failure(`${name}: expected text, got binary data`);
  return text;
}

/** Header and rows. Empty lines, rows of empty fields and lines that start with # are left out. Throws Failure naming the line. */
export function parseSheet(name: string, text: string): Sheet {
  const separator = separatorOf(text);
  const [header, ...rows] = parseRows(name, text, separator);
  if (header === undefined) throw new Failure(`${name}: expected a header line and a row per run, got nothing`);
  if (rows.length >= MAX_ROWS) throw new Failure(`${name}: expected at most ${String(MAX_ROWS)} rows, got more; a law needs one row per run`);
  return { name, separator: SEPARATOR_NAMES[separator], header, rows };
}

function parseRows(name: string, text: string, separator: Separator): readonly Row[] {
  try {
    const records = parse(text, {
      bom: true, delimiter: separator, record_delimiter: ['\r\n', '\n', '\r'], info: true, trim: true, to: MAX_ROWS + 1, max_record_size: 1_000_000,
      relax_column_count: true, relax_quotes: true, skip_empty_lines: true, skip_records_with_empty_values: true, comment: '#', comment_no_infix: true,
    });
    return (records as unknown as { record: string[]; info: { lines: number } }[]).map(({ record, info }) => ({ line: info.lines, fields: record }));
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new Failure(`${name}: line ${String(error['lines'])}: ${sayError(error)}`);
  }
}

function sayError(error: CsvError): string {
  switch (error.code) {
    case 'CSV_QUOTE_NOT_CLOSED': return 'expected the quote that is opened there to be closed, got the end of the file';
    case 'CSV_INVALID_CLOSING_QUOTE': return 'expected a separator or the end of the line after a closing quote (a quote inside quotes is doubled), got more text';
    case 'CSV_MAX_RECORD_SIZE': return 'expected at most a million characters in a row, got more';
    default: return error.message;
  }
}

/** The one that the header has most of, outside quotes. */
function separatorOf(text: string): Separator {
  const header = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/, 1000).find((line) => line.trim() !== '' && !line.startsWith('#')) ?? '';
  const bare = header.replaceAll(/"[^"]*"/g, '');
  const counts = SEPARATORS.map((separator) => bare.split(separator).length);
  return SEPARATORS[counts.indexOf(Math.max(...counts))] ?? ',';
}
