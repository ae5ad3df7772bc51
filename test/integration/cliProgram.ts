// Runs kubectl-polar as its users do: as a process of its own.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { repositoryRoot } from '../../local/src/paths.ts';

export const PROGRAM = join(repositoryRoot, 'bin', 'kubectl-polar');

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly bytes: Buffer;
  readonly err: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly ended: Promise<Ran>;
}

export interface RunOptions {
  readonly stdin?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
  readonly command?: string;
}

/** Starts the program with these words and nothing of this process's environment but PATH and HOME. */
export function start(words: readonly string[], { stdin = '', env = {}, command = PROGRAM }: RunOptions = {}): Started {
  const child = spawn(command, [...words], { env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  // A program that refuses its options never reads.
  child.stdin.on('error', () => undefined);
  child.stdin.end(stdin);
  const ended = new Promise<Ran>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => { resolve({ code, bytes: Buffer.concat(out), out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() }); });
  });
  return { child, out: () => Buffer.concat(out).toString(), ended };
}

export function run(words: readonly string[], options?: RunOptions): Promise<Ran> {
  return start(words, options).ended;
}
