// Callers of ingest that no gRPC client would be: raw HTTP/2, invented tokens, replies that nobody reads.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, ClientSessionOptions, IncomingHttpHeaders } from 'node:http2';
import { connect as connectTls } from 'node:tls';
import { TOKEN_AUDIENCE } from '../../operator/src/api/labels.ts';
import { ReportRequestSchema, ReportResponseSchema } from '../../operator/src/gen/telemetry_pb.js';
import type { ReportResponse } from '../../operator/src/gen/telemetry_pb.js';
import { within } from './ingestWait.ts';
import { open } from './ingestWorld.ts';
import type { Target } from './ingestWorld.ts';

export const REPORT = { ':method': 'POST', ':path': '/polar.telemetry.v1alpha1.Telemetry/Report', 'content-type': 'application/grpc', te: 'trailers' };

/** An HTTP/2 connection from another address of this machine. */
export function session(ingest: Target, localAddress = '127.0.0.2', options: ClientSessionOptions = {}): ClientHttp2Session {
  const at = { host: '127.0.0.1', port: ingest.port, localAddress };
  const made = connectHttp2(`https://localhost:${ingest.port}`, {
    ...options, createConnection: () => connectTls({ ...at, servername: 'localhost', ca: ingest.caPem, ALPNProtocols: ['h2'] }),
  });
  made.on('error', () => undefined);
  const close = (): void => made.destroy();
  made.on('close', () => open.delete(close));
  open.add(close);
  return made;
}

/** The gRPC status of a call, "reset", "closed", or "served" when it is answered without one. */
export function statusOf(stream: ClientHttp2Stream): Promise<string> {
  return within('a call has a status', new Promise((resolve) => {
    const told = (headers: IncomingHttpHeaders): void => {
      if (headers['grpc-status'] !== undefined) resolve(String(headers['grpc-status']));
    };
    stream.on('response', told);
    stream.on('trailers', told);
    stream.on('data', () => resolve('served'));
    stream.on('error', () => resolve('reset'));
    stream.on('close', () => resolve('closed'));
  }));
}

/** What looks like the token of that pod and is signed by nobody. */
export function invented(podUid: string, signature = podUid): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { aud: [TOKEN_AUDIENCE], exp: Math.floor(Date.now() / 1000) + 600, sub: 'system:serviceaccount:x:default', 'kubernetes.io': { namespace: 'x', pod: { name: 'p', uid: podUid } } };
  return `${part({ alg: 'RS256' })}.${part(claims)}.${Buffer.from(signature).toString('base64url')}`;
}

/** A report as gRPC frames it. */
export function framed(fields: MessageInitShape<typeof ReportRequestSchema>): Buffer {
  const message = toBinary(ReportRequestSchema, create(ReportRequestSchema, fields));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The responses in what a stream carried. */
export function unframed(bytes: Buffer): ReportResponse[] {
  const responses: ReportResponse[] = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    if (end <= bytes.length) responses.push(fromBinary(ReportResponseSchema, bytes.subarray(at + 5, end)));
    at = end;
  }
  return responses;
}
