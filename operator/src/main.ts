// Wiring only: configuration -> client -> caches, ingest and endpoints on every replica -> controllers on the one that leads.
import { configFrom, usage } from './config.ts';
import type { Config } from './config.ts';
import { cacheProblems, deadlockProblems, serveHealth, serveMetrics, votingProblems } from './health.ts';
import type { Checks } from './health.ts';
import { ensureCertificate } from './ingest/certificate.ts';
import { startIngest } from './ingest/server.ts';
import type { Ingest } from './ingest/server.ts';
import { createLog } from './log.ts';
import { allCaches, runCaches } from './run/caches.ts';
import type { Caches } from './run/caches.ts';
import { runControllers } from './run/controllers.ts';
import { runMetrics } from './run/metrics.ts';
import type { Settings } from './run/observed.ts';
import { clientFor } from './runtime/client.ts';
import type { KubeClient } from './runtime/client.ts';
import { jittered, sleep, whenAborted } from './runtime/clock.ts';
import { loadKubeConfig } from './runtime/credentials.ts';
import { Election } from './runtime/election.ts';
import type { Lead } from './runtime/election.ts';
import { eventRecorder } from './runtime/events.ts';
import { Fence, fencedClient, now } from './runtime/fence.ts';
import type { Log } from './runtime/log.ts';
import { collectProcessMetrics, registry } from './runtime/metrics.ts';
import { serverNow } from './runtime/serverTime.ts';
import { allSweepCaches, sweepCaches } from './sweep/caches.ts';
import type { SweepCaches } from './sweep/caches.ts';
import { sweepController } from './sweep/controllers.ts';
import { sweepMetrics } from './sweep/metrics.ts';
import { startTracing } from './tracing.ts';

const LEASE_NAME = 'polar-operator';
const STOP_GRACE_MS = 25_000;
// Until a Service no longer sends new streams here.
const DRAIN_MS = 1000;
const RETRY_MS = 2000;

async function main(): Promise<void> {
  const config = configFrom(process.argv.slice(2), process.env);
  if (config === undefined) {
    process.stdout.write(usage());
    return;
  }
  const log = createLog(config['log-level']);
  collectProcessMetrics();
  const endTracing = await startTracing(process.env);
  const stop = stopSignal(log);
  // Renewals have connections of their own: they wait for nothing else.
  const [client, leaseClient] = [await clientFor(loadKubeConfig()), await clientFor(loadKubeConfig())];
  await runReplica({ config, log, client, stop, caches: runCaches({ client, log }), sweeps: sweepCaches({ client, log }), election: electionOf(config, leaseClient, log), ingest: undefined });
  await Promise.all([client.close(), leaseClient.close(), endTracing()]);
}

interface Replica {
  readonly config: Config;
  readonly log: Log;
  readonly client: KubeClient;
  readonly stop: AbortSignal;
  readonly caches: Caches;
  readonly sweeps: SweepCaches;
  readonly election: Election | undefined;
  /** Undefined until it serves. */
  ingest: Ingest | 'off' | undefined;
}

/** Endpoints, caches and ingest as long as the process lives; controllers while it leads. */
async function runReplica(replica: Replica): Promise<void> {
  const { config, caches, sweeps, election, stop } = replica;
  const host = config['bind-address'];
  runMetrics({ registry, runsOf: (kind) => caches.runs[kind].store.list(), isLeading: () => election === undefined || election.state === 'leading', maxSeries: config['max-run-series'], now: serverNow });
  sweepMetrics({ registry, sweepsOf: () => sweeps.sweeps.store.list(), isLeading: () => election === undefined || election.state === 'leading', maxSeries: config['max-run-series'] });
  const endpoints = [await serveHealth(host, config['health-port'], checksOf(replica)), await serveMetrics(host, config['metrics-port'], registry)];
  const standby = new AbortController();
  const watching = [...allCaches(caches), ...allSweepCaches(sweeps)].map((cache) => cache.run(standby.signal));
  const ingest = await ingestOf(replica);
  replica.ingest = ingest ?? 'off';
  const work = lead(replica, settingsOf(config, ingest));
  const leading = election === undefined ? work({ fence: new Fence(Infinity, now()), signal: stop }) : election.run(work, stop);
  await Promise.all([leading, drain(ingest, stop)]);
  standby.abort();
  await Promise.all([...watching, ...endpoints.map((endpoint) => endpoint.close())]);
}

function electionOf(config: Config, client: KubeClient, log: Log): Election | undefined {
  if (!config['leader-elect']) return undefined;
  return new Election({ client, namespace: config.namespace, name: LEASE_NAME, identity: config.identity, timing: config.election, log });
}

/** What the leader does: everything goes through its fence. */
function lead({ config, client, caches, sweeps, log }: Replica, settings: Settings): Lead {
  return async ({ fence, signal }) => {
    const fenced = fencedClient(client, fence);
    const events = eventRecorder(fenced, 'polar-operator', log);
    const shared = { client: fenced, caches, log, now: serverNow, workers: config.workers, events };
    await Promise.all([runControllers({ ...shared, settings: () => settings }, signal), sweepController({ ...shared, sweepCaches: sweeps }, signal)]);
  };
}

function checksOf(replica: Replica): Checks {
  const { config, caches, sweeps, election, stop } = replica;
  return {
    live: () => (election === undefined ? [] : deadlockProblems(election)),
    ready: () => [
      ...(stop.aborted ? ['stopping'] : []),
      ...cacheProblems([...allCaches(caches), ...allSweepCaches(sweeps)], Date.now()),
      ...(replica.ingest === undefined ? ['ingest: not serving yet'] : []),
      ...(election === undefined ? [] : votingProblems(election, config.election.leaseDurationMs)),
    ],
  };
}

/** Waits until the API server gives the certificate, instead of ending again and again while it does not answer. */
async function ingestOf({ config, client, caches, log, stop }: Replica): Promise<Ingest | undefined> {
  if (config.ingestAddress === undefined) return undefined;
  while (!stop.aborted) {
    try {
      await ensureCertificate(client, config.namespace, new Date());
      break;
    } catch (error) {
      log.warn({ err: error }, 'no serving certificate yet, trying again');
      await sleep(jittered(RETRY_MS), stop);
    }
  }
  if (stop.aborted) return undefined;
  const place = { host: config['bind-address'], port: config['ingest-port'], namespace: config.namespace };
  return startIngest({ client, runs: Object.values(caches.runs), pods: caches.pods, config: place, log, registry });
}

/** Once asked to stop: first no new streams come, then those that are here go to another replica. */
async function drain(ingest: Ingest | undefined, stop: AbortSignal): Promise<void> {
  await whenAborted(stop);
  if (ingest === undefined) return;
  await sleep(DRAIN_MS);
  await ingest.close();
}

function settingsOf(config: Config, ingest: Ingest | undefined): Settings {
  const trainerImage = config['trainer-image'];
  if (ingest === undefined || config.ingestAddress === undefined) return { trainerImage };
  return { trainerImage, telemetry: { address: config.ingestAddress, get ca() { return ingest.caPem; }, intervalSeconds: config['report-interval'], since: new Date(serverNow()).toISOString() } };
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
