// The operator's ingest alone, as every replica runs it, for bench/operator/telemetry.ts: caches, real limits, one process.
// Started with an IPC channel and KUBECONFIG; tells {port, caPem}, then answers each message with what it has used so far.
import { Registry } from 'prom-client';
import { KubeConfig } from '@kubernetes/client-node';
import { startIngest } from '../../operator/src/ingest/server.ts';
import { runCaches } from '../../operator/src/run/caches.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import { waitForCaches } from '../../operator/src/runtime/controller.ts';
import type { Log } from '../../operator/src/runtime/log.ts';

/** What ingest has used and done since it started. */
export interface Usage {
  readonly cpuSeconds: number;
  readonly rssMib: number;
  readonly points: number;
  readonly messages: number;
  readonly statusWrites: number;
  readonly conflicts: number;
  readonly streams: number;
  /** Reports by time from reading to merged: cumulative counts by upper bound in seconds. */
  readonly accept: readonly (readonly [number, number])[];
}

const nothing = (): undefined => undefined;
const log: Log = { debug: nothing, info: nothing, warn: (fields, text) => process.stderr.write(`${text} ${JSON.stringify(fields)}\n`), error: (fields, text) => process.stderr.write(`${text} ${JSON.stringify(fields)}\n`), child: () => log };

const config = new KubeConfig();
config.loadFromDefault();
const client = await clientFor(config);
const stop = new AbortController();
const { runs, pods } = runCaches({ client, log });
const used = [...Object.values(runs), pods];
for (const cache of used) void cache.run(stop.signal);
await waitForCaches(used, 60_000, stop.signal);
const registry = new Registry();
const ingest = await startIngest({ client, runs: Object.values(runs), pods, log, registry, config: { host: '127.0.0.1', port: 0, namespace: 'polar-system' } });

async function valueOf(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
  const values = (await registry.getSingleMetric(`polar_ingest_${name}`)?.get())?.values ?? [];
  return values.filter((one) => Object.entries(labels).every(([key, want]) => one.labels[key] === want)).reduce((sum, { value }) => sum + value, 0);
}

async function usage(): Promise<Usage> {
  const { user, system } = process.cpuUsage();
  const buckets = (await registry.getSingleMetric('polar_ingest_accept_seconds')?.get())?.values ?? [];
  return {
    cpuSeconds: (user + system) / 1e6, rssMib: process.memoryUsage.rss() / 2 ** 20,
    points: await valueOf('points_total'), messages: await valueOf('messages_total', { result: 'accepted' }),
    statusWrites: await valueOf('status_writes_total', { result: 'written' }), conflicts: await valueOf('status_writes_total', { result: 'conflict' }),
    streams: await valueOf('streams'),
    accept: buckets.flatMap(({ labels, value }) => ('le' in labels && labels.le !== undefined ? [[Number(labels.le === '+Inf' ? Infinity : labels.le), value] as const] : [])),
  };
}

process.on('message', () => void usage().then((now) => process.send?.(now)));
process.on('disconnect', () => process.exit(0));
process.send?.({ port: ingest.port, caPem: ingest.caPem });
