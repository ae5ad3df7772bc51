// The scoring thread, except that three tokens in a row end it, as a fault inside of it would.
import { parentPort } from 'node:worker_threads';
import type { ToWorker } from '../worker.ts';

const FATAL = [319, 318, 319];

parentPort?.on('message', (message: ToWorker) => {
  if (message?.ids.some((_, at) => FATAL.every((id, step) => message.ids[at + step] === id)) === true) process.exit(9);
});
await import('../worker.ts');
