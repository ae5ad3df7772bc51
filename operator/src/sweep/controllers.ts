// The controller of sweeps over the caches of sweeps, their records and runs.
import { allCaches } from '../run/caches.ts';
import type { Caches } from '../run/caches.ts';
import { runController } from '../runtime/controller.ts';
import type { EventRecorder } from '../runtime/events.ts';
import type { KubeClient } from '../runtime/client.ts';
import type { Log } from '../runtime/log.ts';
import { keyOf, splitKey } from '../runtime/object.ts';
import { WorkQueue } from '../runtime/queue.ts';
import { allSweepCaches, subscribeSweeps } from './caches.ts';
import type { SweepCaches } from './caches.ts';
import { Curves } from './curves.ts';
import { fitter } from './fits.ts';
import { RecentRuns } from './recent.ts';
import { reconcileSweep } from './reconcile.ts';

export interface SweepControllerOptions {
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly sweepCaches: SweepCaches;
  readonly log: Log;
  readonly events: EventRecorder;
  readonly workers: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

const NAME = 'polarsweep';
/** Runs report every few seconds, each for itself: what they say is looked at together. */
const GATHER_MS = 300;

// A cache keeps its subscribers for good, so they are told once, and feed the queue of the present term.
const queues = new WeakMap<SweepCaches, { current: WorkQueue }>();

/** Works until the signal aborts; may then be called again, as this replica may lead again. Throws when the caches do not fill. */
export async function sweepController(options: SweepControllerOptions, signal: AbortSignal): Promise<void> {
  const { log, workers, caches, sweepCaches, now } = options;
  const queue = new WorkQueue(NAME);
  feed(options, queue);
  const fits = fitter({ log, onDone: (key) => queue.add(key), signal });
  const reconcile = reconcileSweep({ ...options, recent: new RecentRuns(now), curves: new Curves(), fitOf: fits });
  await runController({ name: NAME, queue, reconcile, workers, caches: [...allCaches(caches), ...allSweepCaches(sweepCaches)], log, fieldsOf: fieldsOf(sweepCaches) }, signal);
}

function feed({ caches, sweepCaches }: SweepControllerOptions, queue: WorkQueue): void {
  const known = queues.get(sweepCaches);
  if (known !== undefined) {
    known.current = queue;
    for (const sweep of sweepCaches.sweeps.store.list()) queue.add(keyOf(sweep));
    return;
  }
  const term = { current: queue };
  queues.set(sweepCaches, term);
  subscribeSweeps(sweepCaches, caches.runs.PolarPretrain, { now: (key) => term.current.add(key), soon: (key) => term.current.addAfter(key, GATHER_MS) });
}

function fieldsOf({ sweeps }: SweepCaches): (key: string) => Record<string, unknown> {
  return (key) => {
    const { namespace, name } = splitKey(key);
    return { uid: sweeps.store.get(namespace, name)?.metadata.uid };
  };
}
