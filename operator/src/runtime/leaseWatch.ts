// Tells of changes of one Lease as they happen.
import { jittered, sleep } from './clock.ts';
import { LEASES } from './lease.ts';
import type { Lease, LeasePlace } from './lease.ts';
import { pathOf } from './object.ts';

const WATCH_SECONDS = 300;

/** Calls `onChange` with the Lease as it is and on each change, with undefined when it was deleted. Ends only with its signal; whoever needs to be sure reads the Lease now and then. */
export async function followLease(place: LeasePlace, retryMs: number, onChange: (lease: Lease | undefined) => void, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    // Refused or broken: the Lease is read every retry period anyway.
    await watchOnce(place, onChange, signal).catch(() => undefined);
    await sleep(jittered(retryMs), signal);
  }
}

async function watchOnce({ client, namespace, name }: LeasePlace, onChange: (lease: Lease | undefined) => void, signal: AbortSignal): Promise<void> {
  // Permission to watch one Lease needs the name in the selector.
  const query = { fieldSelector: `metadata.name=${name}`, timeoutSeconds: WATCH_SECONDS };
  for await (const event of client.watch(pathOf(LEASES, { namespace }), query, signal)) {
    if (event.type === 'ERROR') return;
    if (event.type !== 'BOOKMARK') onChange(event.type === 'DELETED' ? undefined : event.object);
  }
}
