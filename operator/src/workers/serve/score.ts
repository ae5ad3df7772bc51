// The scoring module: texts or token ids in, scores out, or an error. Raw scores; higher is closer to the reference's policy.
import { availableParallelism } from 'node:os';
import { loadModel, type Model } from './checkpoint.ts';
import { encodeEach, flatten, type Content, type Encoded, type Text, type Truncated, type Wrapper } from './encode.ts';
import { RequestError } from './errors.ts';
import { openPool, type Pool, type PoolStats } from './pool.ts';
import type { Tokens } from './prefixes.ts';
import { combine, type Combine } from './references.ts';

/** How a model is served. Everything but the folder has a default. */
export interface ScorerOptions {
  readonly folder: string;
  /** Threads with a session each (default: one per core), and threads inside a session (default: cores / workers). */
  readonly workers?: number;
  readonly threads?: number;
  /** Tokens of one run of the graph (longer sequences are run by themselves). */
  readonly runTokens?: number;
  /** Tokens computed before another request gets its turn. */
  readonly pieceTokens?: number;
  /** Tokens of all waiting requests; more are refused with QueueFullError. */
  readonly waitingTokens?: number;
  /** False computes every sequence whole, for comparison. */
  readonly sharing?: boolean;
  /** The thread's program. */
  readonly script?: URL;
}

/** Candidates for one prompt, scored against each reference. A model trained without references ignores them. */
export interface ScoreRequest {
  readonly prompt: Content; readonly references: readonly Content[]; readonly candidates: readonly Content[];
  /** The model's own when not given. */
  readonly wrapper?: Wrapper;
  /** How the scores under several references become one (default: mean). */
  readonly combine?: Combine;
}

/** `references`: the scores and what was cut, reference by reference. `truncated`: what was cut under any of them. */
export interface CandidateScore { readonly score: number; readonly references: readonly { readonly score: number; readonly truncated: Truncated }[]; readonly truncated: Truncated }

export interface Scorer {
  readonly model: Model;
  /** Scores, request by request and candidate by candidate. Errors are those of errors.ts; a request is all or nothing. */
  readonly score: (requests: readonly ScoreRequest[], signal?: AbortSignal) => Promise<CandidateScore[][]>;
  /** Scores of whole token sequences, the reward token last; what they share is found. */
  readonly scoreIds: (sequences: readonly Tokens[], signal?: AbortSignal) => Promise<number[]>;
  readonly stats: () => PoolStats;
  readonly close: () => Promise<void>;
}

/** Loads and verifies a folder and starts its threads. ModelError when it cannot be served. */
export async function openScorer(options: ScorerOptions): Promise<Scorer> {
  const model = await loadModel(options.folder);
  const workers = options.workers ?? availableParallelism();
  const pool = await openPool({
    workers,
    start: {
      folder: model.folder, stamps: model.stamps, threads: options.threads ?? Math.max(1, Math.floor(availableParallelism() / workers)),
      options: { runTokens: options.runTokens ?? 512, sharing: options.sharing ?? true },
    },
    queue: { waiting: options.waitingTokens ?? 4_194_304, piece: options.pieceTokens ?? 8_192, together: 4_096, small: options.runTokens ?? 512 },
    ...(options.script === undefined ? {} : { script: options.script }),
  });
  const scoreIds = async (sequences: readonly Tokens[], signal?: AbortSignal): Promise<number[]> =>
    pool.score(sequences.map((ids, place) => checked(ids, place, model)), signal);
  return { model, scoreIds, score: (requests, signal) => scoreTexts(requests, model, pool, signal), stats: pool.stats, close: pool.close };
}

async function scoreTexts(requests: readonly ScoreRequest[], model: Model, pool: Pool, signal?: AbortSignal): Promise<CandidateScore[][]> {
  const encoded: Encoded[][][] = [];
  for (const [at, request] of requests.entries()) encoded.push(await encode(request, at, model));
  const scores = await pool.score(encoded.flat(2).map(({ ids }) => Int32Array.from(ids)), signal);
  let at = 0;
  return encoded.map((byReference, number) => {
    const scored = byReference.map((candidates) => candidates.map(({ truncated }) => ({ score: scores[at++] ?? NaN, truncated })));
    return (scored[0] ?? []).map((_, candidate) => together(scored.flatMap((one) => one[candidate] ?? []), requests[number]?.combine ?? 'mean'));
  });
}

function together(references: CandidateScore['references'], how: Combine): CandidateScore {
  const any = (part: keyof Truncated): boolean => references.some(({ truncated }) => truncated[part]);
  const score = combine(references.map((one) => one.score), how);
  return { score, references, truncated: { prompt: any('prompt'), reference: any('reference'), candidate: any('candidate') } };
}

/** Sequences by reference and candidate; one row of candidates for a model without references. */
async function encode(request: ScoreRequest, number: number, model: Model): Promise<Encoded[][]> {
  const wrapper = request.wrapper ?? model.wrapper;
  const text = (response: Content): Text => ({ prompt: flatten(request.prompt), response: flatten(response), wrapper });
  if (model.reference && request.references.length === 0) throw new RequestError(`requests[${String(number)}].references: expected at least one, got none`);
  const references = model.reference ? request.references.map(text) : [null];
  try {
    return await Promise.all(references.map((reference) => encodeEach(reference, request.candidates.map(text), model)));
  } catch (error) {
    throw error instanceof TypeError ? new RequestError(`requests[${String(number)}]: ${error.message}`, { cause: error }) : error;
  }
}

/** A copy of the sequence, which the caller may go on to change. */
function checked(ids: Tokens, place: number, { limits, vocabSize }: Model): Int32Array {
  if (ids.length < 1 || ids.length > limits.maxLength) {
    throw new RequestError(`sequences[${String(place)}]: expected 1 to ${String(limits.maxLength)} tokens, got ${String(ids.length)}`);
  }
  for (let at = 0; at < ids.length; at += 1) {
    const id = ids[at] ?? NaN;
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      throw new RequestError(`sequences[${String(place)}][${String(at)}]: expected a token id below ${String(vocabSize)}, got ${String(id)}`);
    }
  }
  return Int32Array.from(ids);
}
