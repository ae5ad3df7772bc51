// The exported graph in onnxruntime. run() blocks its thread: sessions live in worker threads (worker.ts).
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { ModelError, ScoringError } from './errors.ts';
import { lonelyGroups, shareGroups, type Tokens } from './prefixes.ts';
import { feedsOf, planRuns, type Feeds, type Run } from './runs.ts';

/** `runTokens` bounds a run; with `sharing` false every sequence is computed whole, for comparison. */
export interface ScoringOptions { readonly runTokens: number; readonly sharing: boolean }

export interface Session {
  /** One number per sequence, which the caller has to check: a broken model gives NaN. Blocks the thread. */
  readonly score: (sequences: readonly Tokens[], options: ScoringOptions) => Promise<Float32Array>;
  readonly release: () => Promise<void>;
}

/** Opens a graph with so many threads. ModelError when it is none, or of another interface. */
export async function openSession(file: string, threads: number): Promise<Session> {
  const session = await create(file, threads);
  const empty = noPast(session, file);
  return {
    score: async (sequences, { runTokens, sharing }) => {
      const scores = new Float32Array(sequences.length).fill(NaN);
      let past = empty;
      for (const run of planRuns(sharing ? shareGroups(sequences) : lonelyGroups(sequences), runTokens)) {
        if (run.pastTokens === 0) past = empty;
        const kept = await runOnce(session, run, past, scores);
        if (run.keep > 0) past = kept;
      }
      return scores;
    },
    release: () => session.release(),
  };
}

async function create(file: string, threads: number): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(file, {
      intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: 'sequential', graphOptimizationLevel: 'all',
      // Threads that spin while they wait for work take it from other workers on the same cores.
      extra: { session: { intra_op: { allow_spinning: '0' } } },
    });
  } catch (error) {
    throw new ModelError(`${file}: not a graph that onnxruntime opens: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Keys and values of no tokens. */
function noPast(session: InferenceSession, file: string): Tensor {
  const past = session.inputMetadata.find(({ name }) => name === 'past');
  if (past?.isTensor !== true) throw new ModelError(`${file}: expected the input past, found ${session.inputNames.join(', ')}: export the checkpoint again`);
  const dims = past.shape.map((axis) => (typeof axis === 'number' && axis > 0 ? axis : 0));
  return new Tensor('float32', new Float32Array(0), dims);
}

/** Writes the scores of a run to their places and returns what it kept. */
async function runOnce(session: InferenceSession, run: Run, past: Tensor, scores: Float32Array): Promise<Tensor> {
  const feeds = feedsOf(run);
  const found = await session.run(tensorsOf(feeds, past));
  const values = found['scores']?.data as Float32Array | undefined;
  const kept = found['kept'];
  if (values?.length !== feeds.places.length || kept === undefined) throw new ScoringError(`the graph gave ${String(values?.length)} scores, expected ${String(feeds.places.length)}`);
  feeds.places.forEach((copies, at) => { for (const place of copies) scores[place] = values[at] ?? NaN; });
  return kept;
}

function tensorsOf(feeds: Feeds, past: Tensor): Record<string, Tensor> {
  const table = (values: BigInt64Array): Tensor => new Tensor('int64', values, [values.length / 5, 5]);
  return {
    ids: new Tensor('int64', feeds.ids, [feeds.ids.length]),
    positions: new Tensor('int64', feeds.positions, [feeds.positions.length]),
    blocks: table(feeds.blocks),
    rewards: table(feeds.rewards),
    keep: new Tensor('int64', feeds.keep, [feeds.keep.length]),
    past,
  };
}
