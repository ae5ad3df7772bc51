// Runs as the API server has them, with what no cache keeps of a status.
import { RUN_RESOURCES } from '../run/caches.ts';
import type { StoredRun } from '../run/caches.ts';
import type { KubeClient } from '../runtime/client.ts';
import { get } from '../runtime/verbs.ts';
import type { SweepRun } from './observed.ts';

const READ_AT_ONCE = 10;

/** Hands over each run with its stored object; undefined for one that is gone, also when another of its name is there. */
export async function eachLive(client: KubeClient, namespace: string, runs: readonly SweepRun[], take: (run: SweepRun, live: StoredRun | undefined) => void): Promise<void> {
  for (let from = 0; from < runs.length; from += READ_AT_ONCE) {
    await Promise.all(runs.slice(from, from + READ_AT_ONCE).map(async (run) => {
      const live = await get<StoredRun>(client, RUN_RESOURCES.PolarPretrain, { namespace, name: run.name });
      take(run, live?.metadata.uid === run.uid ? live : undefined);
    }));
  }
}
