// The ingest server: TLS, limits, streams and the watch for termination messages. Every replica runs one; it needs no leadership.
import { Server } from '@grpc/grpc-js';
import type { ServerOptions } from '@grpc/grpc-js';
import type { Registry } from 'prom-client';
import type { KubeClient } from '../runtime/client.ts';
import type { Log } from '../runtime/log.ts';
import { Connections } from './connections.ts';
import { Identities } from './identity.ts';
import { LIMITS } from './limits.ts';
import type { Limits } from './limits.ts';
import { ingestMetrics } from './metrics.ts';
import { runsFrom } from './runs.ts';
import type { RunCache } from './runs.ts';
import { telemetryService } from './service.ts';
import type { TelemetryHandlers } from './service.ts';
import { serveCertificate } from './serving.ts';
import { Streams } from './streams.ts';
import { watchTerminations } from './terminations.ts';
import type { PodCache } from './terminations.ts';
import { timerWheel } from './wheel.ts';

export interface IngestConfig {
  /** Address to listen on, without port. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Namespace of the operator: where the certificate's Secret is. */
  readonly namespace: string;
  /** Other limits than the usual ones. */
  readonly limits?: Partial<Limits>;
  /** Options of the gRPC server in place of the usual ones. */
  readonly serverOptions?: ServerOptions;
  /** How often the certificate is looked at, about; every ten minutes unless told. */
  readonly lookAtCertificateMs?: number;
  /** The time by which certificates are judged; that of the system unless told. */
  readonly now?: () => Date;
}

export interface IngestOptions {
  /** Not fenced by leadership: the resource version of a status is what keeps replicas apart. */
  readonly client: KubeClient;
  readonly runs: readonly RunCache[];
  readonly pods: PodCache;
  readonly config: IngestConfig;
  readonly log: Log;
  readonly registry: Registry;
}

export interface Ingest {
  /** The CAs that a trainer which begins now must trust: to be asked for each attempt, since they change, long before the old ones end. */
  readonly caPem: string;
  readonly port: number;
  /** Ends streams with UNAVAILABLE and frees the port. */
  close(): Promise<void>;
}

const CERTIFICATE_MS = 600_000;
const SHUTDOWN_MS = 2000;

/** Of the gRPC server, apart from Limits. */
export const SERVER_OPTIONS: ServerOptions = {
  'grpc.max_receive_message_length': 1 << 20,
  // In megabytes, per connection: what HTTP/2 holds of streams and headers.
  'grpc-node.max_session_memory': 8,
  'grpc.max_concurrent_streams': 8,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_connection_idle_ms': 60_000,
  'grpc.max_connection_age_ms': 1_800_000,
  'grpc.max_connection_age_grace_ms': 30_000,
  // Statistics of every connection and call that nobody asks for.
  'grpc.enable_channelz': 0,
};

/** Starts serving trainers. Throws when the certificate cannot be had or the port is taken. */
export async function startIngest(options: IngestOptions): Promise<Ingest> {
  const { client, config, log, pods } = options;
  const limits = { ...LIMITS, ...config.limits };
  const [runs, metrics, wheel] = [runsFrom(client, options.runs), ingestMetrics(options.registry), timerWheel()];
  const serving = await serveCertificate({ client, namespace: config.namespace, log, metrics, now: config.now ?? (() => new Date()), lookEveryMs: config.lookAtCertificateMs ?? CERTIFICATE_MS });
  const server = new Server({ ...SERVER_OPTIONS, ...config.serverOptions });
  const injector = server.createConnectionInjector(serving.credentials);
  const connections = new Connections({ limits, metrics, wheel, serve: (socket) => injector.injectConnection(socket) });
  const streams = new Streams({
    client, runs, log, metrics, wheel, limits,
    identities: new Identities({ client, runs, metrics, limits, podByUid: (uid) => pods.store.byUid(uid) }),
    onProven: (peer) => connections.prove(peer),
  });
  const handlers: TelemetryHandlers = { report: (call) => void streams.serve(call) };
  server.addService(telemetryService, { ...handlers });
  const port = await connections.listen(config.host, config.port);

  const stop = new AbortController();
  const terminations = watchTerminations({ client, runs, pods, writerOf: (run) => streams.writerOf(run), metrics, log }, stop.signal)
    .catch((error: unknown) => log.error({ err: error }, 'termination messages are not read'));
  log.info({ host: config.host, port }, 'ingest started');
  return {
    get caPem() {
      return serving.caPem();
    },
    port,
    close: async () => {
      serving.stop();
      connections.stop();
      stop.abort();
      streams.close();
      await shutDown(server);
      connections.destroy();
      await terminations;
      wheel.close();
    },
  };
}

async function shutDown(server: Server): Promise<void> {
  const force = setTimeout(() => server.forceShutdown(), SHUTDOWN_MS);
  await new Promise<void>((resolve) => {
    server.tryShutdown(() => resolve());
  });
  clearTimeout(force);
}
