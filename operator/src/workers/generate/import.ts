// Takes existing trajectory sets and ranked preference sets into the format of a corpus: Parquet shards with a manifest.
// Usage: import.ts CONFIG.json     The output folder appears when all rows are in it, or not at all. The last line on stdout says what was taken.
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pino from 'pino';
import { z } from 'zod';
import { EXIT_CODES } from '../../api/exitCodes.ts';
import { ConfigError, DataError, readConfig } from './config.ts';
import { exists, StorageFullError, storageError, temporaryName, writeWhole } from './durable.ts';
import { RowFile, type Column } from './parquet.ts';
import { COLUMNS, promptIdOf, type Row } from './rows.ts';
import { hashFile, listFiles, readPieces, type FileRead, type Piece } from './sources.ts';

export const importConfig = z.strictObject({
  output: z.string().min(1).max(1024),
  kind: z.enum(['trajectories', 'preferences']).meta({ description: 'trajectories: rows with prompt, policy, output. preferences: rows with prompt, reference, chosen, rejected.' }),
  paths: z.array(z.string().min(1).max(1024)).min(1).max(256).meta({ description: 'Files ending in .jsonl, .jsonl.gz or .parquet, or folders of those.' }),
  wrapper: z.enum(['pretrain', 'sft']).default('sft').meta({ description: 'For rows that say none.' }),
  shardRows: z.int().min(1).max(1_000_000).default(12_288),
});
export type ImportConfig = z.output<typeof importConfig>;

/** A ranked triplet. */
export interface Triplet { readonly prompt: string; readonly promptId: string; readonly reference: string; readonly chosen: string; readonly rejected: string; readonly wrapper: 'pretrain' | 'sft'; readonly source: string }

const TRIPLET_COLUMNS: readonly Column<Triplet>[] = [
  { name: 'prompt', type: 'STRING', nullable: false, of: (row) => row.prompt },
  { name: 'prompt_id', type: 'STRING', nullable: false, of: (row) => row.promptId },
  { name: 'reference', type: 'STRING', nullable: false, of: (row) => row.reference },
  { name: 'chosen', type: 'STRING', nullable: false, of: (row) => row.chosen },
  { name: 'rejected', type: 'STRING', nullable: false, of: (row) => row.rejected },
  { name: 'wrapper', type: 'STRING', nullable: false, of: (row) => row.wrapper },
  { name: 'source', type: 'STRING', nullable: false, of: (row) => row.source },
];

const SUFFIXES = ['.jsonl', '.jsonl.gz', '.parquet'];
const SHOWN = 20;
const text = z.union([z.string(), z.array(z.looseObject({ role: z.string(), content: z.string() })).min(1).transform((list) => list.map(({ content }) => content).join('\n'))], 'expected a string or a list of messages')
  .refine((value) => value.isWellFormed(), 'expected Unicode text, got a lone surrogate');
const common = { prompt: text, prompt_id: z.string().min(1).nullish(), wrapper: z.enum(['pretrain', 'sft']).nullish() };
const trajectory = z.object({ ...common, policy: z.string().min(1), output: text });
const triplet = z.object({ ...common, reference: text, chosen: text, rejected: text });

export interface Imported { readonly kind: ImportConfig['kind']; readonly rows: number; readonly files: readonly { file: string; bytes: number; sha256: string; rows: number }[]; readonly sources: readonly FileRead[]; readonly policies: Readonly<Record<string, number>> }

/** Writes the rows of all paths. DataError lists the first rows that are malformed and the number of all; then nothing is written. */
export async function importRows(config: ImportConfig): Promise<Imported> {
  if (await exists(config.output)) throw new ConfigError(`output: expected a folder that is not there yet, got ${config.output}`);
  const folder = temporaryName(config.output.replace(/\/+$/, ''));
  try {
    await mkdir(join(folder, 'train'), { recursive: true });
    const imported = await (config.kind === 'trajectories' ? importAs(config, folder, { columns: COLUMNS, of: trajectoryOf }) : importAs(config, folder, { columns: TRIPLET_COLUMNS, of: tripletOf }));
    await writeWhole(join(folder, 'manifest.json'), `${JSON.stringify({ version: 1, ...imported }, null, 1)}\n`);
    await rename(folder, config.output);
    return imported;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error instanceof ConfigError ? error : storageError(config.output, error);
  }
}

interface Format<R> { readonly columns: readonly Column<R>[]; readonly of: (piece: Piece, wrapper: Row['wrapper']) => { row: R; size: number; policy?: string } }

async function importAs<R>(config: ImportConfig, folder: string, { columns, of }: Format<R>): Promise<Imported> {
  const shards = new Shards(folder, columns, config.shardRows);
  const policies = new Map<string, number>();
  const sources: FileRead[] = [];
  const problems: string[] = [];
  let malformed = 0;
  for await (const piece of piecesOf(config.paths, sources)) {
    try {
      const { row, size, policy } = of(piece, config.wrapper);
      if (policy !== undefined) policies.set(policy, (policies.get(policy) ?? 0) + 1);
      await shards.add(row, size);
    } catch (error) {
      if (!(error instanceof z.ZodError)) throw error;
      malformed += 1;
      if (problems.length < SHOWN) problems.push(`${piece.file}:${String(piece.place)}: ${error.issues.map((one) => `${one.path.join('.') || 'row'}: ${one.message}`).join('; ')}`);
    }
  }
  const files = await shards.close();
  if (malformed > 0) throw new DataError([`${String(malformed)} malformed rows:`, ...problems].join('\n'));
  if (files.length === 0) throw new DataError(`paths: expected at least one row in ${config.paths.join(', ')}`);
  return { kind: config.kind, rows: files.reduce((sum, file) => sum + file.rows, 0), files, sources, policies: Object.fromEntries(policies) };
}

async function* piecesOf(paths: readonly string[], sources: FileRead[]): AsyncGenerator<Piece> {
  for (const path of paths) for (const file of await listFiles(path, SUFFIXES)) yield* readPieces(file, 'line', undefined, (read) => sources.push(read));
}

function trajectoryOf({ file, place, value }: Piece, wrapper: Row['wrapper']): { row: Row; size: number; policy: string } {
  const { prompt, output, policy, ...rest } = trajectory.parse(value);
  const unknown = { split: null, prefix: null, sample: null, finishReason: null, truncated: null, cut: null, tokensIn: null, tokensOut: null, endpointModel: null, seed: null, time: null, messages: undefined };
  return { row: { ...unknown, prompt, output, policy, promptId: rest.prompt_id ?? promptIdOf(prompt), wrapper: rest.wrapper ?? wrapper, source: `${file}:${String(place)}` }, size: prompt.length + output.length, policy };
}

function tripletOf({ file, place, value }: Piece, wrapper: Row['wrapper']): { row: Triplet; size: number } {
  const { prompt, reference, chosen, rejected, ...rest } = triplet.parse(value);
  return { row: { prompt, promptId: rest.prompt_id ?? promptIdOf(prompt), reference, chosen, rejected, wrapper: rest.wrapper ?? wrapper, source: `${file}:${String(place)}` }, size: prompt.length + reference.length + chosen.length + rejected.length };
}

/** Rows in files of so many each. */
class Shards<R> {
  readonly #folder: string;
  readonly #columns: readonly Column<R>[];
  readonly #most: number;
  readonly #files: { file: string; bytes: number; sha256: string; rows: number }[] = [];
  #writing: { readonly file: string; readonly out: RowFile<R>; rows: number } | undefined;

  constructor(folder: string, columns: readonly Column<R>[], most: number) {
    this.#folder = folder;
    this.#columns = columns;
    this.#most = most;
  }

  async add(row: R, size: number): Promise<void> {
    const file = `train/import-${String(this.#files.length).padStart(6, '0')}.parquet`;
    this.#writing ??= { file, out: new RowFile(join(this.#folder, file), this.#columns, {}), rows: 0 };
    await this.#writing.out.add(row, size);
    this.#writing.rows += 1;
    if (this.#writing.rows >= this.#most) await this.close();
  }

  async close(): Promise<typeof this.files> {
    if (this.#writing !== undefined) {
      const { file, out, rows } = this.#writing;
      this.#writing = undefined;
      await out.close();
      const path = join(this.#folder, file);
      this.#files.push({ file, bytes: (await stat(path)).size, sha256: await hashFile(path), rows });
    }
    return this.files;
  }

  get files(): readonly { file: string; bytes: number; sha256: string; rows: number }[] {
    return this.#files;
  }
}

async function main(): Promise<void> {
  const { positionals } = parseArgs({ allowPositionals: true });
  if (positionals.length !== 1) throw new ConfigError('Usage: import.ts CONFIG.json');
  process.stdout.write(`${JSON.stringify({ type: 'end', ...(await importRows(readConfig(positionals[0] ?? '', importConfig))) })}\n`);
}

if (import.meta.main) {
  const log = pino({ base: null }, pino.destination({ dest: 2, sync: true }));
  main().catch((error: unknown) => {
    log.error({ err: error }, error instanceof Error ? error.message : String(error));
    const known = error instanceof DataError ? EXIT_CODES.DataInvalid : error instanceof ConfigError ? EXIT_CODES.ConfigInvalid : EXIT_CODES.Crashed;
    process.exitCode = error instanceof StorageFullError ? EXIT_CODES.StorageFull : known;
  });
}
