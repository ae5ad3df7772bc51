// Rows that the suites are made of: trajectories of policies and ranked triplets, of .jsonl, .jsonl.gz and .parquet files.
import { z } from 'zod';
import { DataError } from '../generate/config.ts';
import { promptIdOf } from '../generate/rows.ts';
import { listFiles, readPieces, type FileRead, type Piece } from '../generate/sources.ts';
import type { Wrapper } from '../serve/encode.ts';
import type { Comparison } from './comparison.ts';

export interface Trajectory { readonly promptId: string; readonly prompt: string; readonly policy: string; readonly output: string; readonly wrapper: Wrapper }

const SUFFIXES = ['.jsonl', '.jsonl.gz', '.parquet'];
const SHOWN = 20;
const text = z.union([z.string(), z.array(z.looseObject({ content: z.string() })).min(1).transform((list) => list.map(({ content }) => content).join('\n'))], 'expected a string or a list of messages')
  .refine((value) => value.isWellFormed(), 'expected Unicode text, got a lone surrogate');
const common = { prompt: text, prompt_id: z.string().min(1).nullish(), wrapper: z.enum(['pretrain', 'sft']).nullish() };
const trajectory = z.object({ ...common, policy: z.string().min(1), output: text });
const triplet = z.object({ ...common, reference: text, chosen: text, rejected: text, category: z.string().nullish() });

/** `wrapper` is for rows that say none; `onRead` is told the size and SHA-256 of each file, for provenance. */
export interface Reading { readonly paths: readonly string[]; readonly wrapper: Wrapper; readonly onRead?: (read: FileRead) => void }

/** Rows with prompt, policy and output. DataError lists the first malformed rows and the number of all. */
export function readTrajectories(reading: Reading): Promise<Trajectory[]> {
  return readAll(reading, ['prompt', 'prompt_id', 'wrapper', 'policy', 'output'], (value) => {
    const { prompt, prompt_id: id, wrapper, policy, output } = trajectory.parse(value);
    return { prompt, promptId: id ?? promptIdOf(prompt), policy, output, wrapper: wrapper ?? reading.wrapper };
  });
}

/** Ranked triplets: the best answer is the reference, the second must score above the third (paper section 4.2). */
export function readTriplets(reading: Reading): Promise<Comparison[]> {
  return readAll(reading, ['prompt', 'prompt_id', 'wrapper', 'reference', 'chosen', 'rejected', 'category'], (value) => {
    const { prompt, prompt_id: id, wrapper, reference, chosen, rejected, category } = triplet.parse(value);
    return { cluster: id ?? promptIdOf(prompt), prompt, reference: { prompt, response: reference }, chosen, rejected, wrapper: wrapper ?? reading.wrapper, category: category ?? undefined };
  });
}

async function readAll<R>({ paths, onRead }: Reading, columns: readonly string[], parse: (value: unknown) => R): Promise<R[]> {
  const rows: R[] = [];
  const problems: string[] = [];
  let malformed = 0;
  for await (const { file, place, value } of piecesOf(paths, columns, onRead)) {
    try {
      rows.push(parse(value));
    } catch (error) {
      if (!(error instanceof z.ZodError)) throw error;
      malformed += 1;
      if (problems.length < SHOWN) problems.push(`${file}:${String(place)}: ${error.issues.map((one) => `${one.path.join('.') || 'row'}: ${one.message}`).join('; ')}`);
    }
  }
  if (malformed > 0) throw new DataError([`${String(malformed)} malformed rows:`, ...problems].join('\n'));
  if (rows.length === 0) throw new DataError(`expected at least one row in ${paths.join(', ')}`);
  return rows;
}

async function* piecesOf(paths: readonly string[], columns: readonly string[], onRead: Reading['onRead']): AsyncGenerator<Piece> {
  for (const path of paths) for (const file of await listFiles(path, SUFFIXES)) yield* readPieces(file, 'line', columns, onRead);
}
