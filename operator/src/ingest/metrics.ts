// What ingest counts.
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';

export interface IngestMetrics {
  readonly messages: Counter<'result'>;
  readonly refusedFields: Counter;
  readonly refusedStreams: Counter<'code'>;
  readonly streams: Gauge;
  readonly statusWrites: Counter<'result'>;
  readonly terminations: Counter<'result'>;
  readonly acceptSeconds: Histogram;
}

/** Metrics in that registry; once per registry. */
export function ingestMetrics(registry: Registry): IngestMetrics {
  const registers = [registry];
  return {
    messages: new Counter({ name: 'polar_ingest_messages_total', help: 'Reports of trainers by result (accepted, duplicate, refused).', labelNames: ['result'], registers }),
    refusedFields: new Counter({ name: 'polar_ingest_refused_fields_total', help: 'Fields of accepted reports left out: not a number, infinite, negative, too large or malformed.', registers }),
    refusedStreams: new Counter({ name: 'polar_ingest_refused_streams_total', help: 'Streams ended by the server, by gRPC status.', labelNames: ['code'], registers }),
    streams: new Gauge({ name: 'polar_ingest_streams', help: 'Open streams of known trainers.', registers }),
    statusWrites: new Counter({ name: 'polar_ingest_status_writes_total', help: 'Writes of a run\'s status by result (written, unchanged, conflict, error).', labelNames: ['result'], registers }),
    terminations: new Counter({ name: 'polar_ingest_terminations_total', help: 'Termination messages of trainers by result (merged, ignored).', labelNames: ['result'], registers }),
    acceptSeconds: new Histogram({
      name: 'polar_ingest_accept_seconds', help: 'Time from a report to its acknowledgement, when it is in the status.',
      buckets: [0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60], registers,
    }),
  };
}
