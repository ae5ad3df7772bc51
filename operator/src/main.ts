// Wiring only: configuration -> client -> caches -> ingest -> controllers -> endpoints.
import { configFrom, usage } from './config.ts';
import type { Config } from './config.ts';
import { serveHealth, serveMetrics } from './health.ts';
import { startIngest } from './ingest/server.ts';
import type { Ingest } from './ingest/server.ts';
import { createLog } from './log.ts';
import { allCaches, runCaches } from './run/caches.ts';
import type { Caches } from './run/caches.ts';
import { runControllers } from './run/controllers.ts';
import type { Settings } from './run/observed.ts';
import { clientFor } from './runtime/client.ts';
import type { KubeClient } from './runtime/client.ts';
import { loadKubeConfig } from './runtime/credentials.ts';
import { eventRecorder } from './runtime/events.ts';
import type { Log } from './runtime/log.ts';
import { collectProcessMetrics, registry } from './runtime/metrics.ts';

const STOP_GRACE_MS = 25_000;

async function main(): Promise<void> {
  const config = configFrom(process.argv.slice(2), process.env);
  if (config === undefined) {
    process.stdout.write(usage());
    return;
  }
  const log = createLog(config['log-level']);
  collectProcessMetrics();
  const stop = stopSignal(log);
  const client = await clientFor(loadKubeConfig());
  const caches = runCaches({ client, log });
  const endpoints = [await serveHealth(config['bind-address'], config['health-port'], allCaches(caches)), await serveMetrics(config['bind-address'], config['metrics-port'], registry)];
  const watching = allCaches(caches).map((cache) => cache.run(stop));
  const ingest = await ingestOf(config, client, caches, log);
  const settings = settingsOf(config, ingest);
  await runControllers({ client, caches, log, settings: () => settings, now: Date.now, workers: config.workers, events: eventRecorder(client, 'polar-operator', log) }, stop);
  await Promise.all([...watching, ingest?.close(), ...endpoints.map((endpoint) => endpoint.close())]);
  await client.close();
}

async function ingestOf(config: Config, client: KubeClient, caches: Caches, log: Log): Promise<Ingest | undefined> {
  if (config.ingestAddress === undefined) return undefined;
  const place = { host: config['bind-address'], port: config['ingest-port'], namespace: config.namespace };
  return startIngest({ client, runs: Object.values(caches.runs), pods: caches.pods, config: place, log, registry });
}

function settingsOf(config: Config, ingest: Ingest | undefined): Settings {
  const trainerImage = config['trainer-image'];
  if (ingest === undefined || config.ingestAddress === undefined) return { trainerImage };
  return { trainerImage, telemetry: { address: config.ingestAddress, ca: ingest.caPem, intervalSeconds: config['report-interval'], since: new Date().toISOString() } };
}

/** Aborts on SIGTERM and SIGINT; a stop that takes too long, or a second signal, ends the process. */
function stopSignal(log: Log): AbortSignal {
  const stop = new AbortController();
  const end = (name: NodeJS.Signals): void => {
    if (stop.signal.aborted) process.exit(1);
    log.info({ signal: name }, 'stopping');
    setTimeout(() => process.exit(1), STOP_GRACE_MS).unref();
    stop.abort();
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  return stop.signal;
}

main().catch((error: unknown) => {
  process.stderr.write(`polar-operator: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exit(1);
});
