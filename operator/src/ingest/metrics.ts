// What ingest counts. docs/telemetry.md explains each.
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

export interface IngestMetrics {
  readonly messages: Counter<'result'>;
  readonly points: Counter;
  readonly refusedFields: Counter;
  readonly refusedStreams: Counter<'code'>;
  readonly refusedConnections: Counter<'reason'>;
  readonly reviews: Counter<'result'>;
  readonly streams: Gauge;
  readonly connections: Gauge;
  readonly pendingBytes: Gauge;
  readonly waitingWrites: Gauge;
  readonly statusWrites: Counter<'result'>;
  readonly terminations: Counter<'result'>;
  readonly acceptSeconds: Histogram;
  readonly ackSeconds: Histogram;
  readonly certificateEnd: Gauge;
}

/** Metrics in that registry; once per registry. */
export function ingestMetrics(registry: Registry): IngestMetrics {
  const registers = [registry];
  const counter = <L extends string = never>(name: string, help: string, ...labelNames: L[]): Counter<L> => new Counter({ name: `polar_ingest_${name}`, help, labelNames, registers });
  const gauge = (name: string, help: string): Gauge => new Gauge({ name: `polar_ingest_${name}`, help, registers });
  const histogram = (name: string, help: string, buckets: number[]): Histogram => new Histogram({ name: `polar_ingest_${name}`, help, buckets, registers });
  return {
    messages: counter('messages_total', 'Reports of trainers by result (accepted, duplicate, refused).', 'result'),
    points: counter('points_total', 'Curve points in accepted reports.'),
    refusedFields: counter('refused_fields_total', 'Fields of accepted reports left out: not a number, infinite, negative, too large or malformed.'),
    refusedStreams: counter('refused_streams_total', 'Streams ended by the server, by gRPC status.', 'code'),
    refusedConnections: counter('refused_connections_total', 'Connections ended by the server by reason (limit, address_limit, unproven).', 'reason'),
    reviews: counter('token_reviews_total', 'Identity checks by result (accepted, refused, error); unread: refused without asking the API server.', 'result'),
    streams: gauge('streams', 'Open streams of known trainers.'),
    connections: gauge('connections', 'Open connections.'),
    pendingBytes: gauge('pending_bytes', 'Bytes of reports that are taken in and not yet kept by the API server.'),
    waitingWrites: gauge('waiting_status_writes', 'Runs that wait for their turn to be written.'),
    statusWrites: counter('status_writes_total', 'Writes of a run\'s status by result (written, unchanged, conflict, error).', 'result'),
    terminations: counter('terminations_total', 'Termination messages of trainers by result (merged, ignored).', 'result'),
    acceptSeconds: histogram('accept_seconds', 'Time from reading a report to its being checked and merged in memory.', [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5]),
    ackSeconds: histogram('ack_seconds', 'Time from reading a report to its acknowledgement, when the API server has it.', [0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 20, 30, 60]),
    certificateEnd: gauge('certificate_end_seconds', 'When the serving certificate ends, in seconds since the epoch.'),
  };
}
