// Finished shard files: a Parquet file that is there is whole, and its footer says everything its manifest needs.
import { open, readFile, rm, stat, mkdir, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DataError } from './config.ts';
import { publish, storageError, temporaryName, writeWhole } from './durable.ts';
import { entryOf, namesIn, type JournalRow } from './journal.ts';
import type { Place } from './ledger.ts';
import { manifestsFolder, parsePart, shardName, type PartManifest } from './manifest.ts';
import { readFooter, RowFile } from './parquet.ts';
import type { Block } from './plan.ts';
import { COLUMNS, type Row } from './rows.ts';
import { hashFile } from './sources.ts';

const FOOTER = 'polar.part';

/** What a manifest says beside the file's size and hash. */
export type PartFacts = Omit<PartManifest, 'file' | 'bytes' | 'sha256'>;

export const fileOf = (block: Block, part: number): string => `${block.split}/${shardName(block.number, part)}.parquet`;

/** Writes rows as a shard file, all or nothing. False when another process has written that part first. */
export async function writePartFile(output: string, file: string, facts: PartFacts, rows: AsyncIterable<Row>): Promise<boolean> {
  const path = join(output, file);
  const temporary = temporaryName(path);
  let writing: RowFile<Row> | undefined;
  try {
    await mkdir(dirname(path), { recursive: true });
    writing = new RowFile(temporary, COLUMNS, { [FOOTER]: JSON.stringify(facts) });
    for await (const row of rows) await writing.add(row, row.prompt.length + row.output.length);
    await writing.close();
  } catch (error) {
    writing?.abandon();
    await rm(temporary, { force: true });
    throw storageError(path, error);
  }
  return publish(temporary, path);
}

/** The finished parts of a shard, with the manifests that a kill kept from being written. DataError when one is damaged. */
export async function readParts(output: string, corpus: string, block: Block): Promise<PartManifest[]> {
  const prefix = shardName(block.number, 0).slice(0, -1);
  const names = (await namesIn(join(output, block.split))).filter((name) => name.startsWith(prefix) && name.endsWith('.parquet'));
  const parts: PartManifest[] = [];
  for (let part = 0; part < names.length; part += 1) parts.push(await describe(output, fileOf(block, part)));
  const other = parts.find((part) => part.corpus !== corpus);
  if (other !== undefined) throw new DataError(`${join(output, other.file)}: expected a shard of the corpus ${corpus}, got one of ${other.corpus}: move it away`);
  return parts;
}

/** The manifest of a finished part; written from the file's footer when it is missing. */
export async function describe(output: string, file: string): Promise<PartManifest> {
  const path = join(output, file);
  const at = join(manifestsFolder(output), file.replace(/^.*\//, '').replace(/\.parquet$/, '.json'));
  const bytes = await stat(path).then((info) => info.size, () => { throw new DataError(`${path}: expected the shard's part, got no file`); });
  const text = await readFile(at, 'utf8').catch(() => undefined);
  if (text !== undefined) {
    const known = parsePart(text, at);
    if (known.bytes !== bytes) throw new DataError(`${path}: expected ${String(known.bytes)} bytes as ${at} says, got ${String(bytes)}: restore it, or move both and the shard's other parts away to make it again`);
    return known;
  }
  const manifest: PartManifest = { ...(await factsIn(path)), file, bytes, sha256: await hashFile(path) };
  await writeWhole(at, `${JSON.stringify(manifest)}\n`);
  return manifest;
}

async function factsIn(path: string): Promise<PartFacts> {
  try {
    const { values } = await readFooter(path);
    return JSON.parse(values.get(FOOTER) ?? '') as PartFacts;
  } catch (error) {
    throw new DataError(`${path}: not a shard that this program wrote: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Reads rows back from journals by their places. */
export class JournalRows {
  readonly #path: (journal: number) => string;
  readonly #files = new Map<number, FileHandle>();

  constructor(path: (journal: number) => string) {
    this.#path = path;
  }

  /** Error when the line is not there any more. */
  async read({ journal, at, length }: Place): Promise<JournalRow> {
    const file = this.#files.get(journal) ?? (await open(this.#path(journal)));
    this.#files.set(journal, file);
    const bytes = Buffer.alloc(length);
    await file.read(bytes, 0, length, at);
    const found = entryOf(bytes.subarray(0, -1));
    if (found?.kind !== 'row') throw new Error(`${this.#path(journal)}: expected a row at byte ${String(at)}: the file was changed`);
    return found.row;
  }

  async close(): Promise<void> {
    for (const file of this.#files.values()) await file.close();
    this.#files.clear();
  }
}
