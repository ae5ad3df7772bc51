// Event -> status: a pod's status is changed through the API, and a watcher waits for the run's status that says so.
import { setTimeout as sleep } from 'node:timers/promises';
import { LABEL_RUN } from '../../operator/src/api/labels.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { PODS } from '../../operator/src/run/objects.ts';
import type { Pod } from '../../operator/src/run/objects.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import { quantile } from './create.ts';
import { until } from './process.ts';
import { NAMESPACE } from './world.ts';

export interface Latency {
  readonly changes: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

type SeenRun = KubeObject & { readonly status?: { readonly workers?: string } };

/** Makes so many changes at an even rate, each of another pod. Throws when a change does not arrive. */
export const measureLatency = async (client: KubeClient, changes: number, perSecond: number): Promise<Latency> => {
  const { items } = await client.request<{ items: readonly Pod[] }>('GET', pathOf(PODS, { namespace: NAMESPACE }), { query: { limit: changes } });
  const sentAt = new Map<string, number>();
  const took: number[] = [];
  const stop = new AbortController();
  void follow(client, stop.signal, (run) => {
    const at = sentAt.get(run.metadata.name);
    if (at === undefined || run.status?.workers !== '0/1') return;
    sentAt.delete(run.metadata.name);
    took.push(performance.now() - at);
  });
  await sleep(500);
  const startedAt = performance.now();
  for (const [index, pod] of items.entries()) {
    await sleep(Math.max(0, startedAt + (index * 1000) / perSecond - performance.now()));
    sentAt.set(pod.metadata.labels?.[LABEL_RUN] ?? '', performance.now());
    void unready(client, pod);
  }
  await until(`${items.length} changes in status`, () => took.length >= items.length, 60_000).finally(() => stop.abort());
  took.sort((a, b) => a - b);
  return { changes: took.length, perSecond, p50Ms: quantile(took, 0.5), p99Ms: quantile(took, 0.99), maxMs: took.at(-1) ?? NaN };
};

const follow = async (client: KubeClient, signal: AbortSignal, take: (run: SeenRun) => void): Promise<void> => {
  const path = pathOf(RUN_RESOURCES.PolarPretrain, { namespace: NAMESPACE });
  try {
    const { metadata } = await client.request<{ metadata: { resourceVersion: string } }>('GET', path, { query: { limit: 1 } });
    for await (const { type, object } of client.watch(path, { resourceVersion: metadata.resourceVersion }, signal)) if (type === 'MODIFIED') take(object);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
};

const unready = async (client: KubeClient, { metadata, status }: Pod): Promise<void> => {
  const conditions = status?.conditions?.map((condition) => (condition.type === 'Ready' ? { ...condition, status: 'False' } : condition));
  await client.request('PATCH', pathOf(PODS, { namespace: NAMESPACE, name: metadata.name, subresource: 'status' }), { body: { status: { conditions } }, contentType: 'application/merge-patch+json' });
};
