// A scoring thread: one session. It is told the folder when it starts and says when it is ready.
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { sameFiles, type Stamps } from './checkpoint.ts';
import type { Failure } from './errors.ts';
import { openSession, type ScoringOptions, type Session } from './session.ts';

export interface WorkerStart { readonly folder: string; readonly stamps: Stamps; readonly threads: number; readonly options: ScoringOptions }
/** Sequences one after the other; null asks the thread to end. */
export type ToWorker = { readonly job: number; readonly ids: Int32Array<ArrayBuffer>; readonly lengths: Int32Array<ArrayBuffer> } | null;
/** job -1: the thread is ready, or could not start. */
export interface FromWorker { readonly job: number; readonly scores?: Float32Array<ArrayBuffer>; readonly failure?: { readonly kind: Failure; readonly message: string } }

const port = parentPort;
if (port === null) throw new Error('worker.ts is started by pool.ts');
const { folder, stamps, threads, options } = workerData as WorkerStart;
const say = (message: FromWorker): void => { port.postMessage(message, message.scores === undefined ? [] : [message.scores.buffer]); };

function failed(job: number, error: unknown): void {
  const kind = error instanceof Error && error.name === 'ModelError' ? 'ModelError' : 'ScoringError';
  say({ job, failure: { kind, message: error instanceof Error ? error.message : String(error) } });
}

/** The files are looked at before and after: weights that change meanwhile would change the scores. */
async function score(session: Session, message: NonNullable<ToWorker>): Promise<void> {
  try {
    await sameFiles(folder, stamps);
    let at = 0;
    const sequences = Array.from(message.lengths, (length) => message.ids.subarray(at, at += length));
    const scores = await session.score(sequences, options) as Float32Array<ArrayBuffer>;
    await sameFiles(folder, stamps);
    say({ job: message.job, scores });
  } catch (error) {
    failed(message.job, error);
  }
}

async function start(): Promise<void> {
  await sameFiles(folder, stamps);
  const session = await openSession(join(folder, 'model.onnx'), threads);
  port?.on('message', (message: ToWorker) => {
    if (message !== null) void score(session, message);
    else void session.release().finally(() => { port.close(); });
  });
  say({ job: -1 });
}

start().catch((error: unknown) => { failed(-1, error); });
