// Parquet files in and out, by hyparquet and its writer, compressed by Node's own zstd.
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { brotliDecompressSync, gunzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, type Compressors, type KeyValue } from 'hyparquet';
import { ByteWriter, ParquetWriter, schemaFromColumnData, type BasicType } from 'hyparquet-writer';
import { DataError } from './config.ts';
import type { Piece } from './sources.ts';

export const CODECS: Compressors = { ZSTD: (input) => zstdDecompressSync(input), GZIP: (input) => gunzipSync(input), BROTLI: (input) => brotliDecompressSync(input) };

/** Rows of a Parquet file, a row group at a time; only `columns` where told, of those that are there. */
export async function* readParquet(path: string, columns?: readonly string[]): AsyncGenerator<Piece> {
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    const present = new Set(metadata.schema.slice(1).map(({ name }) => name));
    const wanted = columns?.filter((name) => present.has(name));
    let row = 0;
    for (const group of metadata.row_groups) {
      const rows = Number(group.num_rows);
      const objects = await parquetReadObjects({ file, metadata, rowStart: row, rowEnd: row + rows, compressors: CODECS, ...(wanted === undefined ? {} : { columns: wanted }) });
      for (const value of objects) yield { file: path, place: (row += 1), value };
    }
  } catch (error) {
    throw new DataError(`${path}: damaged Parquet file: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** The key-value metadata of a file and its number of rows. */
export async function readFooter(path: string): Promise<{ rows: number; values: ReadonlyMap<string, string> }> {
  const metadata = await parquetMetadataAsync(await asyncBufferFromFile(path));
  return { rows: Number(metadata.num_rows), values: new Map((metadata.key_value_metadata ?? []).map(({ key, value }: KeyValue) => [key, value ?? ''])) };
}

export interface Column<R> { readonly name: string; readonly type: BasicType; readonly nullable: boolean; readonly of: (row: R) => unknown }

const GROUP_ROWS = 4096;
const GROUP_CHARACTERS = 16 * 2 ** 20;
const BUFFER_BYTES = 2 ** 20;

/** Writes rows to a new file as they come; row groups bound memory. Nothing but `close` makes the file readable. */
export class RowFile<R> {
  readonly #descriptor: number;
  readonly #bytes: FileBytes;
  readonly #writer: ParquetWriter;
  readonly #columns: readonly Column<R>[];
  #rows: R[] = [];
  #characters = 0;

  constructor(path: string, columns: readonly Column<R>[], metadata: Readonly<Record<string, string>>) {
    this.#columns = columns;
    this.#descriptor = openSync(path, 'wx');
    this.#bytes = new FileBytes(this.#descriptor);
    const schema = schemaFromColumnData({ columnData: columns.map(({ name, type, nullable }) => ({ name, type, nullable, data: [] })) });
    const kvMetadata = Object.entries(metadata).map(([key, value]) => ({ key, value }));
    this.#writer = new ParquetWriter({ writer: this.#bytes, schema, codec: 'ZSTD', compressors: { ZSTD: (input) => zstdCompressSync(input) }, kvMetadata, createdBy: 'polar-operator' });
  }

  /** `characters` is about the size of the row. */
  async add(row: R, characters: number): Promise<void> {
    this.#rows.push(row);
    this.#characters += characters;
    if (this.#rows.length >= GROUP_ROWS || this.#characters >= GROUP_CHARACTERS) await this.#flush();
  }

  /** Writes what is left and syncs the file. */
  async close(): Promise<void> {
    await this.#flush();
    await this.#writer.finish();
    fsyncSync(this.#descriptor);
    closeSync(this.#descriptor);
  }

  /** Gives the descriptor back; the file is not readable. */
  abandon(): void {
    closeSync(this.#descriptor);
  }

  async #flush(): Promise<void> {
    if (this.#rows.length === 0) return;
    const rows = this.#rows;
    [this.#rows, this.#characters] = [[], 0];
    await this.#writer.write({ columnData: this.#columns.map(({ name, type, nullable, of }) => ({ name, type, nullable, data: rows.map(of) })), rowGroupSize: rows.length });
    this.#bytes.drain();
  }
}

/** The writer's bytes, on disk from a megabyte on. */
class FileBytes extends ByteWriter {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    super(2 * BUFFER_BYTES);
    this.#descriptor = descriptor;
  }

  override ensure(size: number): void {
    if (this.index > BUFFER_BYTES) this.drain();
    super.ensure(size);
  }

  override finish(): void {
    this.drain();
  }

  drain(): void {
    for (let at = 0; at < this.index;) at += writeSync(this.#descriptor, new Uint8Array(this.buffer, at, this.index - at));
    this.index = 0;
  }
}
