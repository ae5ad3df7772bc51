// Runs created -> Jobs created, sustained: as many as are made while no more than a window of runs waits for its Job.
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { create } from '../../operator/src/runtime/verbs.ts';
import { JOBS } from '../../operator/src/run/objects.ts';
import { until } from './process.ts';
import { NAMESPACE } from './world.ts';

export interface CreateOptions {
  readonly client: KubeClient;
  readonly resource: Resource;
  readonly objectOf: (index: number) => KubeObject;
  readonly count: number;
  /** Runs that may wait for their Job at once. */
  readonly window: number;
  readonly timeoutMs: number;
}

export interface Created {
  readonly count: number;
  readonly seconds: number;
  readonly perSecond: number;
  /** From a run's creation to the news of its Job. */
  readonly latencyP50Ms: number;
  readonly latencyP99Ms: number;
}

/** Creates the runs and waits for a Job of each. Throws when they do not come within the time. */
export const measureCreation = async (options: CreateOptions): Promise<Created> => {
  const { client, count } = options;
  const jobs = await followJobs(client);
  const startedAt = performance.now();
  const createdAt: number[] = [];
  try {
    const deadline = Date.now() + options.timeoutMs;
    const worker = async (): Promise<void> => {
      while (createdAt.length < count) {
        const index = createdAt.push(performance.now()) - 1;
        await create(client, options.resource, options.objectOf(index));
        await until(`${index - options.window} Jobs`, () => jobs.seenAt.length > index - options.window, deadline - Date.now());
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    await until(`${count} Jobs`, () => jobs.seenAt.length >= count, deadline - Date.now());
  } finally {
    jobs.stop();
  }
  const seconds = ((jobs.seenAt.at(-1) ?? 0) - startedAt) / 1000;
  const waits = jobs.seenAt.map((at, index) => at - (createdAt[index] ?? at)).sort((a, b) => a - b);
  return { count, seconds, perSecond: count / seconds, latencyP50Ms: quantile(waits, 0.5), latencyP99Ms: quantile(waits, 0.99) };
};

/** The value below which that share of ascending values lies. */
export const quantile = (ascending: readonly number[], share: number): number => ascending[Math.min(ascending.length - 1, Math.ceil(ascending.length * share) - 1)] ?? NaN;

interface Followed {
  /** When each new Job was heard of, in order. */
  readonly seenAt: number[];
  readonly stop: () => void;
}

const followJobs = async (client: KubeClient): Promise<Followed> => {
  const stop = new AbortController();
  const seenAt: number[] = [];
  const path = pathOf(JOBS, { namespace: NAMESPACE });
  const { metadata } = await client.request<{ metadata: { resourceVersion: string } }>('GET', path, { query: { limit: 1 } });
  const follow = async (): Promise<void> => {
    for await (const { type } of client.watch(path, { resourceVersion: metadata.resourceVersion }, stop.signal)) if (type === 'ADDED') seenAt.push(performance.now());
  };
  follow().catch(() => undefined);
  return { seenAt, stop: () => stop.abort() };
};
