// Container logs as a kubelet keeps them: one file per run of a container, lines of "time stream F|P text", rotated at
// 10 MiB with one older file kept, so that a chatty pod cannot fill the disk.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { StringDecoder } from 'node:string_decoder';

export type Stream = 'stdout' | 'stderr';
export interface LogLine { readonly time: string; readonly stream: Stream; readonly text: string; readonly full: boolean }

const ROTATE_BYTES = 10 * 2 ** 20;
const LINE_BYTES = 16 * 2 ** 10;

const format = (line: LogLine): string => `${line.time} ${line.stream} ${line.full ? 'F' : 'P'} ${line.text}\n`;

const parse = (text: string): LogLine | undefined => {
  const match = /^(\S+) (stdout|stderr) ([FP]) (.*)$/s.exec(text);
  return match ? { time: match[1] ?? '', stream: match[2] as Stream, full: match[3] === 'F', text: match[4] ?? '' } : undefined;
};

/** Every kept line of the log at `path`, oldest first; none when there is no such file. */
export const readLog = (path: string): LogLine[] => {
  const lines: LogLine[] = [];
  for (const file of [`${path}.1`, path]) {
    if (!existsSync(file)) continue;
    for (const text of readFileSync(file, 'utf8').split('\n')) {
      const line = parse(text);
      if (line) lines.push(line);
    }
  }
  return lines;
};

/** Invariant: every complete line written so far is in the file before a listener sees it. */
export class ContainerLog {
  readonly path: string;
  readonly #listeners = new Set<(line: LogLine | undefined) => void>();
  readonly #partial: Record<Stream, { rest: string; decoder: StringDecoder }> = {
    stdout: { rest: '', decoder: new StringDecoder('utf8') }, stderr: { rest: '', decoder: new StringDecoder('utf8') },
  };
  #fd: number;
  #size: number;
  #closed = false;

  constructor(path: string) {
    this.path = path;
    mkdirSync(dirname(path), { recursive: true });
    this.#fd = openSync(path, 'a');
    this.#size = statSync(path).size;
  }

  /** Takes a chunk of the container's output. */
  write(stream: Stream, chunk: Buffer): void {
    if (this.#closed) return;
    const partial = this.#partial[stream];
    const texts = (partial.rest + partial.decoder.write(chunk)).split('\n');
    partial.rest = texts.pop() ?? '';
    const time = new Date().toISOString();
    const lines: LogLine[] = texts.map((text) => ({ time, stream, text, full: true }));
    while (partial.rest.length >= LINE_BYTES) {
      lines.push({ time, stream, text: partial.rest.slice(0, LINE_BYTES), full: false });
      partial.rest = partial.rest.slice(LINE_BYTES);
    }
    this.#append(lines);
  }

  /** Calls `listener` with each later line, then once with undefined when the log ends. Returns the way to stop. */
  follow(listener: (line: LogLine | undefined) => void): () => void {
    if (this.#closed) {
      listener(undefined);
      return () => undefined;
    }
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  close(): void {
    if (this.#closed) return;
    const time = new Date().toISOString();
    for (const stream of ['stdout', 'stderr'] as const) {
      const { rest } = this.#partial[stream];
      if (rest !== '') this.#append([{ time, stream, text: rest, full: true }]);
    }
    this.#closed = true;
    closeSync(this.#fd);
    for (const listener of this.#listeners) listener(undefined);
    this.#listeners.clear();
  }

  #append(lines: readonly LogLine[]): void {
    if (lines.length === 0) return;
    const bytes = Buffer.from(lines.map(format).join(''));
    try {
      writeSync(this.#fd, bytes);
      this.#size += bytes.length;
      if (this.#size > ROTATE_BYTES) this.#rotate();
    } catch {
      // a full disk loses log lines, never the container
    }
    for (const line of lines) for (const listener of this.#listeners) listener(line);
  }

  #rotate(): void {
    closeSync(this.#fd);
    renameSync(this.path, `${this.path}.1`);
    this.#fd = openSync(this.path, 'w');
    this.#size = 0;
  }
}

/** Removes the log of one run of a container. */
export const removeLog = (path: string): void => {
  rmSync(path, { force: true });
  rmSync(`${path}.1`, { force: true });
};

/** The last lines of a log, at most 80 of them and 2048 bytes: what FallbackToLogsOnError puts in the termination message. */
export const logTail = (path: string): string => {
  const text = readLog(path).slice(-80).map((line) => line.text + (line.full ? '\n' : '')).join('');
  return Buffer.from(text).subarray(-2048).toString('utf8');
};
