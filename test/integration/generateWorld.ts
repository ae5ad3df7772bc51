// What tests of the generate worker share: configurations, the worker as a process, and what a corpus holds.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { z } from 'zod';
import { repositoryRoot } from '../../local/src/paths.ts';
import type { generateConfig } from '../../operator/src/workers/generate/config.ts';
import type { PartManifest } from '../../operator/src/workers/generate/manifest.ts';
import { readParquet } from '../../operator/src/workers/generate/parquet.ts';

export type ConfigInput = z.input<typeof generateConfig>;
const PROGRAM = join(repositoryRoot, 'operator/src/workers/generate/main.ts');

const root = mkdtempSync(join(tmpdir(), 'polar-generate-'));
const running = new Set<ChildProcess>();
after(() => {
  for (const child of running) child.kill('SIGKILL');
  rmSync(root, { recursive: true, force: true });
});

let names = 0;
export const freshPath = (name: string): string => join(root, `${String(names++)}-${name}`);

export function textFile(lines: number): string {
  const path = freshPath('texts.txt');
  writeFileSync(path, Array.from({ length: lines }, (_, i) => `Day ${String(i)} of the log: the wind came from the ${['north', 'east', 'south', 'west'][i % 4] ?? ''}, and ${String(i * 31)} gulls sat on the wall of harbour ${String(i % 17)} all day long.`).join('\n'));
  return path;
}

/** A configuration with policies at one endpoint, named after their models. */
export function aConfig(url: string, models: readonly string[], rest: Partial<ConfigInput> & { lines?: number } = {}): ConfigInput {
  const { lines = 60, ...more } = rest;
  return {
    output: freshPath('corpus'), seed: 5, prompts: { sources: [{ path: textFile(lines) }], prefixTokens: { least: 3, most: 12 } }, sampling: { maxTokens: 64 }, shardPrefixes: 10, progressSeconds: 1,
    policies: models.map((name) => ({ name, url, model: name, timeoutSeconds: 5, concurrency: 4 })), retries: { baseMs: 5, longestMs: 50, breakAfter: 5, giveUpSeconds: 1 }, ...more,
  };
}

export interface Line {
  readonly type: 'progress' | 'end';
  readonly reason?: string;
  readonly rows: number;
  readonly requests: { readonly all: number; readonly settled: number };
  readonly spent: { readonly tokens: number; readonly money: string };
  readonly policies: Readonly<Record<string, { readonly state: string; readonly why?: string; readonly rows: number; readonly refused: number; readonly uncounted: number; readonly otherModel: number; readonly errors: Readonly<Record<string, number>>; readonly lastError?: string; readonly lost: { readonly tokens: number } }>>;
}

export interface Ended { readonly code: number | null; readonly signal: NodeJS.Signals | null; readonly lines: readonly Line[]; readonly end: Line | undefined; readonly stderr: string }

export interface Worker { readonly child: ChildProcess; readonly ended: Promise<Ended> }

/** Starts the worker as a process; `wrap` puts a command before it. */
export function startWorker(config: ConfigInput, worker = 0, wrap: readonly string[] = []): Worker {
  const file = freshPath('config.json');
  writeFileSync(file, JSON.stringify(config));
  const [command = '', ...args] = [...wrap, process.execPath, PROGRAM, file, '--worker', String(worker)];
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => { stdout += chunk.toString(); });
  child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString(); });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      running.delete(child);
      const lines = stdout.split('\n').filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as Line);
      resolve({ code, signal, lines, end: lines.find(({ type }) => type === 'end'), stderr });
    });
  });
  return { child, ended };
}

export const runWorker = (config: ConfigInput, worker = 0, wrap: readonly string[] = []): Promise<Ended> => startWorker(config, worker, wrap).ended;

export type StoredRow = Readonly<Record<string, unknown>> & { readonly prompt: string; readonly prompt_id: string; readonly policy: string; readonly output: string; readonly sample: number; readonly prefix: bigint; readonly split: string };

/** All rows of the shards that a reader of the folder finds. */
export async function rowsOf(output: string): Promise<StoredRow[]> {
  const rows: StoredRow[] = [];
  const files = readdirSync(output, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.parquet')).sort();
  for (const file of files) for await (const { value } of readParquet(join(output, file))) rows.push(value as StoredRow);
  return rows;
}

/** One text per row that says which request it answers and how. */
export const identities = (rows: readonly StoredRow[]): string[] => rows.map(({ prefix, policy, sample, prompt, output, seed }) => JSON.stringify([Number(prefix), policy, sample, prompt, output, Number(seed)])).sort();

export function manifestsOf(output: string): PartManifest[] {
  return readdirSync(join(output, 'manifests')).filter((name) => name.endsWith('.json')).map((name) => JSON.parse(readFileSync(join(output, 'manifests', name), 'utf8')) as PartManifest);
}
