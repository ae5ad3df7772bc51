// One scoring thread, and another in its place when it ends.
import { Worker } from 'node:worker_threads';
import { failureOf, ScoringError } from './errors.ts';
import type { Tokens } from './prefixes.ts';
import type { FromWorker, ToWorker, WorkerStart } from './worker.ts';

const LONGEST_PAUSE_MS = 5_000;
const FIRST_PAUSE_MS = 50;

export interface Thread {
  readonly idle: () => boolean;
  /** Whether it has a model open. */
  readonly ready: () => boolean;
  /** How often another thread had to be started. */
  readonly restarts: () => number;
  /** Scores sequences; one at a time. Rejects with the reason: ScoringError, or ModelError when the folder changed. */
  readonly score: (sequences: readonly Tokens[]) => Promise<Float32Array>;
  /** Lets it finish what it computes and ends it. */
  readonly close: () => Promise<void>;
}

export interface ThreadOptions {
  readonly script: URL; readonly start: WorkerStart;
  /** Called when it has become idle. */
  readonly onIdle: () => void;
  /** Called when it cannot start: nothing will be scored by it until a later attempt. */
  readonly onBroken: (error: Error) => void;
}

interface Job { readonly resolve: (scores: Float32Array) => void; readonly reject: (error: Error) => void }
interface State { worker: Worker | null; ready: boolean; job: Job | null; number: number; failures: number; closed: boolean; timer: NodeJS.Timeout | null; restarts: number }

/** Starts a thread. It is idle once `onIdle` was called. */
export function createThread(options: ThreadOptions): Thread {
  const state: State = { worker: null, ready: false, job: null, number: 0, failures: 0, closed: false, timer: null, restarts: 0 };
  spawn(state, options);
  return {
    idle: () => state.ready && state.job === null && !state.closed,
    ready: () => state.ready,
    restarts: () => state.restarts,
    score: (sequences) => new Promise((resolve, reject) => {
      state.job = { resolve, reject };
      state.number += 1;
      const message = messageOf(state.number, sequences);
      state.worker?.postMessage(message, message === null ? [] : [message.ids.buffer, message.lengths.buffer]);
    }),
    close: async () => {
      state.closed = true;
      if (state.timer !== null) clearTimeout(state.timer);
      const { worker } = state;
      if (worker === null) return;
      const ended = new Promise((resolve) => { worker.once('exit', resolve); });
      worker.postMessage(null satisfies ToWorker);
      await ended;
    },
  };
}

function messageOf(job: number, sequences: readonly Tokens[]): ToWorker {
  const lengths = Int32Array.from(sequences, (ids) => ids.length);
  const ids = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const sequence of sequences) {
    ids.set(sequence, at);
    at += sequence.length;
  }
  return { job, ids, lengths };
}

function spawn(state: State, options: ThreadOptions): void {
  const worker = new Worker(options.script, { workerData: options.start });
  state.worker = worker;
  let reason = '';
  let broken: Error | null = null;
  worker.on('error', (error: unknown) => { reason = `: ${error instanceof Error ? error.message : String(error)}`; });
  worker.on('message', (message: FromWorker) => {
    if (message.job !== -1) {
      settle(state, message);
      if (state.job === null) options.onIdle();
      return;
    }
    state.ready = message.failure === undefined;
    if (message.failure !== undefined) broken = failureOf(message.failure.kind, message.failure.message);
    else options.onIdle();
  });
  worker.on('exit', (code) => {
    if (!state.ready) broken ??= new ScoringError(`a scoring thread could not start: it ended with code ${String(code)}${reason}`);
    [state.worker, state.ready] = [null, false];
    const { job } = state;
    state.job = null;
    job?.reject(new ScoringError(`the scoring thread ended with code ${String(code)}${reason}`));
    if (state.closed) return;
    state.failures += 1;
    state.restarts += 1;
    if (broken !== null) options.onBroken(broken);
    state.timer = setTimeout(() => { spawn(state, options); }, Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(16, state.failures - 1)));
  });
}

function settle(state: State, { job, scores, failure }: FromWorker): void {
  if (job !== state.number || state.job === null) return;
  const { resolve, reject } = state.job;
  state.job = null;
  if (scores !== undefined) {
    state.failures = 0;
    resolve(scores);
  } else reject(failureOf(failure?.kind ?? 'ScoringError', failure?.message ?? 'the scoring thread gave no scores'));
}
