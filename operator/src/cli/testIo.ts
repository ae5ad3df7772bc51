// Streams for tests of the program inside the test's process.
import { Readable, Writable } from 'node:stream';
import type { Io } from './command.ts';
import { runProgram } from './program.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly bytes: Buffer;
  readonly err: string;
}

class Collector extends Writable {
  readonly chunks: Buffer[] = [];
  readonly columns = 100;
  readonly isTTY: boolean;

  constructor(isTTY = false) {
    super();
    this.isTTY = isTTY;
  }

  hasColors(): boolean {
    return true;
  }

  override _write(chunk: Buffer | string, _: BufferEncoding, done: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    done();
  }
}

/** Runs kubectl polar with these words; `stdin` is what it reads from `-`. */
export async function program(words: readonly string[], { stdin = '', env = {}, isTTY = false }: { readonly stdin?: string | Buffer; readonly env?: Io['env']; readonly isTTY?: boolean } = {}): Promise<Ran> {
  const [stdout, stderr] = [new Collector(isTTY), new Collector()];
  const code = await runProgram(words, { stdin: Readable.from([Buffer.from(stdin)]), stdout, stderr, env });
  const bytes = Buffer.concat(stdout.chunks);
  return { code, bytes, out: bytes.toString(), err: Buffer.concat(stderr.chunks).toString() };
}
