// One controller for each kind of run over the same caches.
import { runController } from '../runtime/controller.ts';
import type { Log } from '../runtime/log.ts';
import { keyOf, splitKey } from '../runtime/object.ts';
import { WorkQueue } from '../runtime/queue.ts';
import { allCaches, subscribeRuns } from './caches.ts';
import type { Caches } from './caches.ts';
import type { RunKind } from './observed.ts';
import { reconcileRun } from './reconcile.ts';
import type { RunDeps } from './reconcile.ts';

export type RunControllersOptions = Omit<RunDeps, 'kind'> & { readonly log: Log; readonly workers: number };

const KINDS: readonly RunKind[] = ['PolarPretrain', 'PolarFinetune'];

// A cache keeps its subscribers for good, so each kind subscribes once and feeds the queue of the present term.
const feeds = new WeakMap<Caches, Map<RunKind, WorkQueue>>();

/** Works until the signal aborts; may then be called again, as this replica may lead again. Throws when the caches do not fill. */
export async function runControllers(options: RunControllersOptions, signal: AbortSignal): Promise<void> {
  const { log, workers, caches } = options;
  await Promise.all(KINDS.map((kind) => {
    const name = kind.toLowerCase();
    const queue = new WorkQueue(name);
    feed(caches, kind, queue);
    return runController({ name, queue, reconcile: reconcileRun({ ...options, kind }), workers, caches: allCaches(caches), log, fieldsOf: fieldsOf(caches, kind) }, signal);
  }));
}

function feed(caches: Caches, kind: RunKind, queue: WorkQueue): void {
  const queues = feeds.get(caches) ?? new Map<RunKind, WorkQueue>();
  feeds.set(caches, queues);
  const isFirst = !queues.has(kind);
  queues.set(kind, queue);
  if (isFirst) subscribeRuns(caches, kind, (key) => queues.get(kind)?.add(key));
  else for (const run of caches.runs[kind].store.list()) queue.add(keyOf(run));
}

/** What every log line of a reconcile says of its run. */
function fieldsOf(caches: Caches, kind: RunKind): (key: string) => Record<string, unknown> {
  return (key) => {
    const { namespace, name } = splitKey(key);
    const run = caches.runs[kind].store.get(namespace, name);
    return { uid: run?.metadata.uid, attempt: run?.status?.attempt };
  };
}
