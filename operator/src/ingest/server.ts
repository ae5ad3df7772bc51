// The ingest server: TLS, limits, streams, certificate renewal and the watch for termination messages.
import { Server, experimental } from '@grpc/grpc-js';
import type { ServerCredentials, ServerOptions } from '@grpc/grpc-js';
import type { Registry } from 'prom-client';
import type { KubeClient } from '../runtime/client.ts';
import type { Log } from '../runtime/log.ts';
import { ensureCertificate } from './certificate.ts';
import type { Certificate } from './certificate.ts';
import { identifier } from './identity.ts';
import { ingestMetrics } from './metrics.ts';
import { runsFrom } from './runs.ts';
import type { RunCache } from './runs.ts';
import { telemetryService } from './service.ts';
import type { TelemetryHandlers } from './service.ts';
import { Streams } from './streams.ts';
import { watchTerminations } from './terminations.ts';
import type { PodCache } from './terminations.ts';

export interface IngestConfig {
  /** Address to listen on, without port. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Namespace of the operator: where the certificate's Secret is. */
  readonly namespace: string;
  /** Least time between two writes of one run's status; 1000 unless told. */
  readonly minWriteIntervalMs?: number;
}

export interface IngestOptions {
  readonly client: KubeClient;
  readonly runs: readonly RunCache[];
  readonly pods: PodCache;
  readonly config: IngestConfig;
  readonly log: Log;
  readonly registry: Registry;
}

export interface Ingest {
  /** The CA that trainers must trust. It outlives restarts of the operator. */
  readonly caPem: string;
  readonly port: number;
  /** Ends streams with UNAVAILABLE and frees the port. */
  close(): Promise<void>;
}

const LOOK_MS = 1000;
const RENEWAL_MS = 3_600_000;
const SHUTDOWN_MS = 2000;

const LIMITS: ServerOptions = {
  'grpc.max_receive_message_length': 1 << 20,
  // In megabytes, per connection.
  'grpc-node.max_session_memory': 8,
  'grpc.max_concurrent_streams': 8,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_connection_idle_ms': 300_000,
  'grpc.max_connection_age_ms': 1_800_000,
  'grpc.max_connection_age_grace_ms': 30_000,
};

/** Starts serving trainers. Throws when the certificate cannot be had or the port is taken. */
export async function startIngest(options: IngestOptions): Promise<Ingest> {
  const { client, config, log } = options;
  const runs = runsFrom(client, options.runs);
  const metrics = ingestMetrics(options.registry);
  const streams = new Streams({ client, runs, log, metrics, identify: identifier(client, runs), minIntervalMs: config.minWriteIntervalMs ?? 1000 });
  const certificate = await ensureCertificate(client, config.namespace, new Date());
  const serving = servingCertificate(certificate);
  const server = new Server(LIMITS);
  const handlers: TelemetryHandlers = { report: (call) => void streams.serve(call) };
  server.addService(telemetryService, { ...handlers });
  const port = await bind(server, `${bracketed(config.host)}:${config.port}`, serving.credentials);

  const stop = new AbortController();
  const look = setInterval(() => void streams.look(), LOOK_MS);
  const renewal = setInterval(() => void renew(options, serving), RENEWAL_MS);
  const terminations = watchTerminations({ client, runs, pods: options.pods, writerOf: (run) => streams.writerOf(run), metrics, log }, stop.signal)
    .catch((error: unknown) => log.error({ err: error }, 'termination messages are not read'));
  log.info({ host: config.host, port }, 'ingest started');
  return {
    caPem: certificate.caPem,
    port,
    close: async () => {
      clearInterval(look);
      clearInterval(renewal);
      stop.abort();
      streams.close();
      await shutDown(server);
      await terminations;
    },
  };
}

async function renew({ client, config, log }: IngestOptions, { current, replace }: ReturnType<typeof servingCertificate>): Promise<void> {
  try {
    replace(await ensureCertificate(client, config.namespace, new Date(), current()));
  } catch (error) {
    log.warn({ err: error }, 'serving certificate not looked at, trying again in an hour');
  }
}

/** Credentials whose certificate can be replaced while the server runs: new connections get the new one. */
function servingCertificate(first: Certificate): { credentials: ServerCredentials; current: () => Certificate; replace: (certificate: Certificate) => void } {
  const updateOf = ({ certificatePem, keyPem }: Certificate): experimental.IdentityCertificateUpdate => ({ certificate: Buffer.from(certificatePem), privateKey: Buffer.from(keyPem) });
  const listeners = new Set<experimental.IdentityCertificateUpdateListener>();
  let current = first;
  const provider: experimental.CertificateProvider = {
    addCaCertificateListener: () => undefined,
    removeCaCertificateListener: () => undefined,
    addIdentityCertificateListener: (listener) => {
      listeners.add(listener);
      // Not at once: the server does not yet listen to the credentials that listen to this.
      process.nextTick(() => listener(updateOf(current)));
    },
    removeIdentityCertificateListener: (listener) => listeners.delete(listener),
  };
  return {
    // The declaration names the parameters the other way round: the first one is the identity of the server.
    credentials: experimental.createCertificateProviderServerCredentials(provider, null, false),
    current: () => current,
    replace: (certificate) => {
      if (certificate.certificatePem === current.certificatePem) return;
      current = certificate;
      for (const listener of listeners) listener(updateOf(current));
    },
  };
}

function bind(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
  });
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

async function shutDown(server: Server): Promise<void> {
  const force = setTimeout(() => server.forceShutdown(), SHUTDOWN_MS);
  await new Promise<void>((resolve) => {
    server.tryShutdown(() => resolve());
  });
  clearTimeout(force);
}
