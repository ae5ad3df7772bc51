// The gRPC service of proto/telemetry.proto for grpc-js, from the generated message schemas.
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import type { handleBidiStreamingCall, MethodDefinition } from '@grpc/grpc-js';
import type { ReportRequest, ReportResponse } from '../gen/telemetry_pb.js';
import { ReportRequestSchema, ReportResponseSchema, Telemetry } from '../gen/telemetry_pb.js';

const serialize = <S extends DescMessage>(schema: S) => (message: MessageShape<S>): Buffer => Buffer.from(toBinary(schema, message));
const deserialize = <S extends DescMessage>(schema: S) => (bytes: Buffer): MessageShape<S> => fromBinary(schema, bytes);

// Decoded, a report takes eight times its bytes: what has to be kept for later is kept as it came.
const wires = new WeakMap<ReportRequest, Buffer>();

/** A report as it came over the wire. */
export function wireOf(report: ReportRequest): Buffer {
  return wires.get(report) ?? serialize(ReportRequestSchema)(report);
}

export function decodeReport(wire: Buffer): ReportRequest {
  const report = fromBinary(ReportRequestSchema, wire, { readUnknownFields: false });
  wires.set(report, wire);
  return report;
}

const report: MethodDefinition<ReportRequest, ReportResponse> = {
  path: `/${Telemetry.typeName}/${Telemetry.method.report.name}`,
  requestStream: true,
  responseStream: true,
  requestSerialize: serialize(ReportRequestSchema),
  requestDeserialize: decodeReport,
  responseSerialize: serialize(ReportResponseSchema),
  responseDeserialize: deserialize(ReportResponseSchema),
};

/** Service definition for `Server.addService` and `makeGenericClientConstructor`. */
export const telemetryService = { report };

export interface TelemetryHandlers {
  readonly report: handleBidiStreamingCall<ReportRequest, ReportResponse>;
}
