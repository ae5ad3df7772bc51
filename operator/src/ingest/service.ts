// The gRPC service of proto/telemetry.proto for grpc-js, from the generated message schemas.
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import type { handleBidiStreamingCall, MethodDefinition } from '@grpc/grpc-js';
import type { ReportRequest, ReportResponse } from '../gen/telemetry_pb.js';
import { ReportRequestSchema, ReportResponseSchema, Telemetry } from '../gen/telemetry_pb.js';

const serialize = <S extends DescMessage>(schema: S) => (message: MessageShape<S>): Buffer => Buffer.from(toBinary(schema, message));
const deserialize = <S extends DescMessage>(schema: S) => (bytes: Buffer): MessageShape<S> => fromBinary(schema, bytes);

// A message does not know how long it was.
const lengths = new WeakMap<ReportRequest, number>();

/** Bytes of a report on the wire; 0 of one that was made here. */
export function bytesOf(report: ReportRequest): number {
  return lengths.get(report) ?? 0;
}

function deserializeReport(bytes: Buffer): ReportRequest {
  const report = fromBinary(ReportRequestSchema, bytes, { readUnknownFields: false });
  lengths.set(report, bytes.length);
  return report;
}

const report: MethodDefinition<ReportRequest, ReportResponse> = {
  path: `/${Telemetry.typeName}/${Telemetry.method.report.name}`,
  requestStream: true,
  responseStream: true,
  requestSerialize: serialize(ReportRequestSchema),
  requestDeserialize: deserializeReport,
  responseSerialize: serialize(ReportResponseSchema),
  responseDeserialize: deserialize(ReportResponseSchema),
};

/** Service definition for `Server.addService` and `makeGenericClientConstructor`. */
export const telemetryService = { report };

export interface TelemetryHandlers {
  readonly report: handleBidiStreamingCall<ReportRequest, ReportResponse>;
}
