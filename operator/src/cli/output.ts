// Where a result goes: stdout or a file, in the format that was asked for or that the file's name says.
import { writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { Args, Io, OptionSpec } from './command.ts';
import { Failure, UsageError, oneOf } from './command.ts';

const EXTENSIONS: Readonly<Record<string, string>> = { '.json': 'json', '.yaml': 'yaml', '.yml': 'yaml', '.csv': 'csv', '.svg': 'svg', '.png': 'png', '.txt': 'table' };

export interface Destination<Format extends string> {
  readonly format: Format;
  /** Absent: stdout. */
  readonly file?: string;
}

/** The options -o and --out. */
export function outputOptions(formats: readonly string[]): Readonly<Record<'output' | 'out', OptionSpec>> {
  return {
    output: { type: 'string', short: 'o', value: formats.join('|'), help: 'format; default table, or what the extension of --out says' },
    out: { type: 'string', value: 'FILE', help: 'write there instead of to the terminal' },
  };
}

/** Throws UsageError when the format is none of these or a picture would go to a terminal. */
export function destinationOf<const Format extends string>(args: Args, io: Io, formats: readonly Format[]): Destination<Format> {
  const file = args.text('out');
  if (file === '') throw new UsageError('--out: expected the name of a file, got nothing');
  const format = oneOf('-o', args.text('output') ?? EXTENSIONS[extname(file ?? '').toLowerCase()] ?? 'table', formats);
  if (format === 'png' && file === undefined && io.stdout.isTTY === true) throw new UsageError('-o png: expected --out FILE or a redirection, got a terminal');
  return { format, ...(file === undefined ? {} : { file }) };
}

/** Throws Failure when the file cannot be written. */
export async function writeOut(io: Io, { file }: Destination<string>, content: string | Uint8Array): Promise<void> {
  if (file === undefined) {
    await new Promise<void>((resolve, reject) => { io.stdout.write(content, (error) => { if (error) reject(error); else resolve(); }); });
    return;
  }
  try {
    await writeFile(file, content);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Failure(`${file}: cannot be written: ${{ ENOENT: 'there is no such folder', EACCES: 'no permission', EISDIR: 'it is a folder', ENOSPC: 'no space left' }[code ?? ''] ?? message}`);
  }
  io.stderr.write(`wrote ${file}\n`);
}
