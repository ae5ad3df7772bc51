// One controller for each kind of run over the same caches.
import { runController } from '../runtime/controller.ts';
import type { Log } from '../runtime/log.ts';
import { WorkQueue } from '../runtime/queue.ts';
import { allCaches, subscribeRuns } from './caches.ts';
import type { RunKind } from './observed.ts';
import { reconcileRun } from './reconcile.ts';
import type { RunDeps } from './reconcile.ts';

export type RunControllersOptions = Omit<RunDeps, 'kind'> & { readonly log: Log; readonly workers: number };

const KINDS: readonly RunKind[] = ['PolarPretrain', 'PolarFinetune'];

/** Works until the signal aborts. Throws when the caches do not fill. */
export async function runControllers(options: RunControllersOptions, signal: AbortSignal): Promise<void> {
  const { log, workers, caches } = options;
  await Promise.all(KINDS.map((kind) => {
    const name = kind.toLowerCase();
    const queue = new WorkQueue(name);
    subscribeRuns(caches, kind, (key) => queue.add(key));
    return runController({ name, queue, reconcile: reconcileRun({ ...options, kind }), workers, caches: allCaches(caches), log }, signal);
  }));
}
