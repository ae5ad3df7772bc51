// The append-only journal of a shard in the making: a line before a request is sent and a line for what became of it.
// Lines are written and synced in batches; a line is `crc32 json`, so that a torn or damaged one is not believed.
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { storageError, syncFolder } from './durable.ts';

const cost = z.tuple([z.int().min(0), z.string().regex(/^\d+$/)]);
const row = z.object({
  output: z.string(), finishReason: z.string(), truncated: z.enum(['none', 'loop', 'incomplete']), cut: z.int(),
  tokensIn: z.int().nullable(), tokensOut: z.int().nullable(), model: z.string().nullable(), time: z.int(),
});
const request = { r: z.int().min(0), p: z.int().min(0) };
/** ask: about to be sent, may cost this much. row: answered. refused: for good. failed: ended without an answer. `r` is the request's number in the shard, `p` its policy's. */
const entry = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ask'), ...request, cost }),
  z.object({ kind: z.literal('row'), ...request, cost, row }),
  z.object({ kind: z.literal('refused'), ...request, reason: z.string() }),
  z.object({ kind: z.literal('failed'), ...request, cost }),
]);
export type Entry = z.output<typeof entry>;
export type JournalRow = z.output<typeof row>;
/** Where a line stands in its file. */
export interface Span { readonly at: number; readonly length: number }

interface Waiting { readonly line: Buffer; readonly resolve: (span: Span) => void; readonly reject: (error: Error) => void }

export class Journal {
  readonly path: string;
  readonly #file: FileHandle;
  #at = 0;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #broken: Error | undefined;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  /** A new journal; never one that was written before, whose tail may be torn. */
  static async create(path: string): Promise<Journal> {
    try {
      await mkdir(dirname(path), { recursive: true });
      const file = await open(path, 'wx');
      await syncFolder(dirname(path));
      return new Journal(path, file);
    } catch (error) {
      throw storageError(path, error);
    }
  }

  /** Resolves when the line is on disk. StorageFullError when there is no room; then nothing can be appended any more. */
  append(what: Entry): Promise<Span> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line: lineOf(what), resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  /** Waits for what was appended and closes the file. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  get empty(): boolean {
    return this.#at === 0 && this.#waiting.length === 0;
  }

  async #write(): Promise<void> {
    // What is appended in the same turn goes into the same batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await writeAll(this.#file, Buffer.concat(batch.map(({ line }) => line)), this.#at);
        await this.#file.datasync();
        for (const { line, resolve } of batch) {
          resolve({ at: this.#at, length: line.length });
          this.#at += line.length;
        }
      } catch (error) {
        const broken = storageError(this.path, error);
        this.#broken = broken;
        for (const { reject } of [...batch, ...this.#waiting.splice(0)]) reject(broken);
      }
    }
    this.#writing = undefined;
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
}

function lineOf(what: Entry): Buffer {
  const json = Buffer.from(JSON.stringify(what));
  return Buffer.concat([Buffer.from(`${crc32(json).toString(16).padStart(8, '0')} `), json, Buffer.from('\n')]);
}

/** The entry in a line without its line end; undefined when it is torn or damaged. */
export function entryOf(line: Buffer): Entry | undefined {
  if (line.length < 10 || line.subarray(0, 8).toString() !== crc32(line.subarray(9)).toString(16).padStart(8, '0')) return undefined;
  const parsed = entry.safeParse(JSON.parse(line.subarray(9).toString()));
  return parsed.success ? parsed.data : undefined;
}

/** All good entries of a journal with their places, and how many lines were damaged (a torn last line is not counted). */
export async function readJournal(path: string, onEntry: (what: Entry, span: Span) => void): Promise<{ damaged: number }> {
  let [at, damaged] = [0, 0];
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { highWaterMark: 2 ** 20 })) {
    const bytes = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      const found = entryOf(bytes.subarray(from, end));
      if (found === undefined) damaged += 1;
      else onEntry(found, { at, length: end + 1 - from });
      at += end + 1 - from;
      from = end + 1;
    }
    rest = bytes.subarray(from);
  }
  return { damaged };
}

/** Names in a folder; none when it is missing. */
export async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  });
}
