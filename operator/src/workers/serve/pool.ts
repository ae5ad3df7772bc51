// Scores flat token sequences in threads with a bounded queue in front.
import { ClosedError, ModelError, ScoringError } from './errors.ts';
import type { Tokens } from './prefixes.ts';
import { createQueue, type Piece, type Queue, type QueueLimits } from './queue.ts';
import { createThread, type Thread } from './thread.ts';
import type { WorkerStart } from './worker.ts';

export interface PoolOptions { readonly workers: number; readonly start: WorkerStart; readonly queue: QueueLimits; readonly script?: URL }

export interface PoolStats { readonly requests: number; readonly tokens: number; readonly workers: number; readonly idle: number; readonly restarts: number }

export interface Pool {
  /** One finite score per sequence, in order. Rejects with one of errors.ts, or with the signal's reason. */
  readonly score: (sequences: readonly Tokens[], signal?: AbortSignal) => Promise<number[]>;
  readonly stats: () => PoolStats;
  /** Rejects what waits, lets the threads finish what they compute, and ends them. */
  readonly close: () => Promise<void>;
}

interface Request { readonly scores: number[]; left: number; over: boolean; readonly done: (error?: Error) => void }

/** Starts the threads; resolves when all are ready. ModelError when they cannot open the model. */
export async function openPool({ workers, start, queue: limits, script = new URL('worker.ts', import.meta.url) }: PoolOptions): Promise<Pool> {
  const queue = createQueue<Request>(limits);
  const open = new Set<Request>();
  const threads: Thread[] = [];
  let closed = false;
  const pump = (): void => {
    for (const thread of threads) {
      if (!thread.idle()) continue;
      const pieces = queue.take();
      if (pieces.length === 0) return;
      void compute(thread, pieces, queue).finally(pump);
    }
  };
  const failAll = (error: Error): void => { for (const request of open) request.done(error); };
  const close = async (): Promise<void> => {
    closed = true;
    failAll(new ClosedError('the scorer was closed'));
    await Promise.all(threads.map((thread) => thread.close()));
  };
  try {
    await started(workers, threads, { script, start, pump, onBroken: (error) => { if (error instanceof ModelError || !threads.some((thread) => thread.ready())) failAll(error); } });
  } catch (error) {
    await close();
    throw error;
  }
  const enter = (request: Request, sequences: readonly Tokens[]): void => {
    if (closed) throw new ClosedError('the scorer is closed');
    request.left = queue.add(request, sequences);
    open.add(request);
    if (request.left === 0) request.done();
    pump();
  };
  const leave = (request: Request): boolean => {
    queue.drop(request);
    return open.delete(request);
  };
  return {
    score: (sequences, signal) => ask(sequences, signal, enter, leave),
    stats: () => ({ ...queue.waiting(), workers: threads.length, idle: threads.filter((thread) => thread.idle()).length, restarts: threads.reduce((sum, thread) => sum + thread.restarts(), 0) }),
    close,
  };
}

type Enter = (request: Request, sequences: readonly Tokens[]) => void;

/** A request from its entry to its only outcome. */
function ask(sequences: readonly Tokens[], signal: AbortSignal | undefined, enter: Enter, leave: (request: Request) => boolean): Promise<number[]> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const abort = (): void => { request.done(signal?.reason as Error); };
    const request: Request = {
      scores: new Array<number>(sequences.length).fill(NaN), left: 0, over: false,
      done: (error) => {
        if (!leave(request)) return;
        request.over = true;
        signal?.removeEventListener('abort', abort);
        if (error === undefined) resolve(request.scores);
        else reject(error);
      },
    };
    enter(request, sequences);
    if (!request.over) signal?.addEventListener('abort', abort);
  });
}

interface Starting { readonly script: URL; readonly start: WorkerStart; readonly pump: () => void; readonly onBroken: (error: Error) => void }

async function started(workers: number, threads: Thread[], { script, start, pump, onBroken }: Starting): Promise<void> {
  const ready = Array.from({ length: workers }, () => new Promise<void>((resolve, reject) => {
    threads.push(createThread({ script, start, onIdle: () => { resolve(); pump(); }, onBroken: (error) => { reject(error); onBroken(error); } }));
  }));
  await Promise.all(ready);
}

async function compute(thread: Thread, pieces: readonly Piece<Request>[], queue: Queue<Request>): Promise<void> {
  const sequences = pieces.flatMap(({ members }) => members.map(({ ids }) => ids));
  try {
    const scores = await thread.score(sequences);
    let at = 0;
    for (const piece of pieces) deliver(piece, scores.subarray(at, at += piece.members.length));
  } catch (error) {
    failed(pieces, error, queue);
  }
}

function deliver({ request, members }: Piece<Request>, scores: Float32Array): void {
  for (const [at, { copies }] of members.entries()) {
    const score = scores[at] ?? NaN;
    if (!Number.isFinite(score)) {
      request.done(new ScoringError(`sequence ${String(copies[0])} of ${String(request.scores.length)}: the model gave ${String(score)}, expected a finite score`));
      return;
    }
    for (const place of copies) request.scores[place] = score;
  }
  request.left -= 1;
  if (request.left === 0) request.done();
}

/** What was computed together with others gets another try alone: one bad request must not fail its neighbours. */
function failed(pieces: readonly Piece<Request>[], error: unknown, queue: Queue<Request>): void {
  const requests = new Set(pieces.map(({ request }) => request));
  if (requests.size === 1 || error instanceof ModelError) {
    for (const request of requests) request.done(error instanceof Error ? error : new ScoringError(String(error)));
    return;
  }
  for (const piece of pieces) if (!piece.request.over) queue.again(piece);
}
