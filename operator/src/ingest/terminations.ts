// The way home when the stream was not there: termination messages of worker-0 pods that ended, merged into the status.
import { LABEL_COMPLETION_INDEX, LABEL_KIND, LABEL_RUN_UID, TRAINER_CONTAINER } from '../api/labels.ts';
import type { KubeClient } from '../runtime/client.ts';
import { runController } from '../runtime/controller.ts';
import type { Cache, Reconcile } from '../runtime/controller.ts';
import type { Log } from '../runtime/log.ts';
import { keyOf, splitKey } from '../runtime/object.ts';
import { WorkQueue } from '../runtime/queue.ts';
import type { StoreReader } from '../runtime/store.ts';
import { membershipOf } from './chain.ts';
import type { Pod } from './chain.ts';
import type { IngestMetrics } from './metrics.ts';
import { Refusal } from './refusal.ts';
import type { RunRef, Runs } from './runs.ts';
import { mergeTermination, parseTermination } from './termination.ts';
import type { Termination } from './termination.ts';
import type { RunWriter } from './writer.ts';

/** The cache of the operator's pods; a Reflector is one. */
export interface PodCache extends Cache {
  readonly store: StoreReader<Pod>;
  subscribe(toKeys: (pod: Pod) => readonly string[], enqueue: (key: string) => void): void;
}

export interface TerminationsOptions {
  readonly client: KubeClient;
  readonly runs: Runs;
  readonly pods: PodCache;
  readonly writerOf: (run: RunRef) => RunWriter;
  readonly metrics: IngestMetrics;
  readonly log: Log;
}

/** Watches until the signal aborts. Every replica does: merging what is already there writes nothing. */
export async function watchTerminations(options: TerminationsOptions, signal: AbortSignal): Promise<void> {
  const { pods, log } = options;
  const queue = new WorkQueue('terminations');
  const keysOf = (pod: Pod): string[] => (lastWordsOf(pod) === undefined ? [] : [keyOf(pod)]);
  pods.subscribe(keysOf, (key) => queue.add(key));
  // Pods that ended while no operator was there may be in the cache already.
  for (const key of pods.store.list().flatMap(keysOf)) queue.add(key);
  await runController({ name: 'terminations', queue, reconcile: reconcile(options), workers: 2, caches: [pods], log }, signal);
}

function reconcile(options: TerminationsOptions): Reconcile {
  // Relists show every pod again: what was merged once is not looked up once more.
  const merged = new Set<string>();
  return async (key) => {
    const { namespace, name } = splitKey(key);
    const pod = options.pods.store.get(namespace, name);
    const uid = pod?.metadata.uid;
    const termination = pod === undefined ? undefined : lastWordsOf(pod);
    if (pod === undefined || uid === undefined || termination === undefined || merged.has(uid)) return {};
    const isMerged = !isTold(options.runs, pod, termination) && (await merge(options, pod, termination));
    options.metrics.terminations.inc({ result: isMerged ? 'merged' : 'ignored' });
    merged.add(uid);
    if (merged.size > 2 * options.pods.store.size + 100) forgetGone(merged, options.pods);
    return {};
  };
}

/** Its run's status has the end of that attempt or a later one: beside thousands of ended pods a new replica would else ask for each. */
function isTold(runs: Runs, { metadata: { namespace = '', labels } }: Pod, { attempt }: Termination): boolean {
  const label = (name: string): string => labels?.[name] ?? '';
  const run = runs.cached({ kind: label(LABEL_KIND), namespace, uid: label(LABEL_RUN_UID) });
  const { attempt: told = 0, stage } = run?.status?.progress ?? {};
  return told > attempt || (told === attempt && stage === 'Done');
}

function forgetGone(uids: Set<string>, pods: PodCache): void {
  for (const uid of uids) if (pods.store.byUid(uid) === undefined) uids.delete(uid);
}

async function merge(options: TerminationsOptions, pod: Pod, termination: Termination): Promise<boolean> {
  try {
    const { run, attempt } = await membershipOf(options.client, options.runs, pod);
    if (attempt !== termination.attempt) return false;
    await options.writerOf(run).submit({ fold: (status, context) => mergeTermination(status, termination, context) });
    return true;
  } catch (error) {
    // A pod that is nobody's, or whose run is gone, has nobody to tell.
    if (error instanceof Refusal) return false;
    throw error;
  }
}

function lastWordsOf(pod: Pod): Termination | undefined {
  const { labels = {} } = pod.metadata;
  if (labels[LABEL_COMPLETION_INDEX] !== '0' || labels[LABEL_RUN_UID] === undefined) return undefined;
  const trainer = pod.status?.containerStatuses?.find((container) => container.name === TRAINER_CONTAINER);
  const text = trainer?.state?.terminated?.message;
  return text === undefined ? undefined : parseTermination(text);
}
