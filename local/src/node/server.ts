// The part of the kubelet's API that the API server calls: container logs, health, the list of pods.
import { createServer } from 'node:https';
import type { ServerOptions } from 'node:https';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { readLog } from './logs.ts';
import type { ContainerLog, LogLine } from './logs.ts';
import type { Pods } from './pods.ts';

export interface ServerFiles { readonly cert: string; readonly key: string; readonly clientCA: string }

export interface LogQuery {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  readonly since?: string;
  readonly limitBytes?: number;
  readonly stream?: string;
}

/** A follower that reads slower than the container writes is cut off beyond this. */
const MAX_BUFFERED_BYTES = 16 * 2 ** 20;

const numberIn = (params: URLSearchParams, name: string): number | undefined => {
  const text = params.get(name);
  return text === null ? undefined : Number(text);
};

/** The options of a containerLogs request, as PodLogOptions spells them. */
export const logQuery = (params: URLSearchParams, now: number): LogQuery => {
  const seconds = numberIn(params, 'sinceSeconds');
  const since = params.get('sinceTime') ?? (seconds === undefined ? undefined : new Date(now - seconds * 1000).toISOString());
  const tailLines = numberIn(params, 'tailLines');
  const limitBytes = numberIn(params, 'limitBytes');
  const stream = params.get('stream')?.toLowerCase();
  return {
    follow: params.get('follow') === 'true', timestamps: params.get('timestamps') === 'true',
    ...(since !== undefined && { since }), ...(tailLines !== undefined && { tailLines }), ...(limitBytes !== undefined && { limitBytes }),
    ...(stream !== undefined && stream !== 'all' && { stream }),
  };
};

const rendered = (line: LogLine, query: LogQuery): string =>
  `${query.timestamps ? `${line.time} ` : ''}${line.text}${line.full ? '\n' : ''}`;

const wanted = (line: LogLine, query: LogQuery): boolean =>
  (query.since === undefined || Date.parse(line.time) >= Date.parse(query.since)) && (query.stream === undefined || line.stream === query.stream);

/** The kept lines a query asks for, as text. */
export const logText = (lines: readonly LogLine[], query: LogQuery): string => {
  const chosen = lines.filter((line) => wanted(line, query));
  const tail = query.tailLines === undefined ? chosen : query.tailLines === 0 ? [] : chosen.slice(-query.tailLines);
  const text = tail.map((line) => rendered(line, query)).join('');
  return query.limitBytes === undefined ? text : Buffer.from(text).subarray(0, query.limitBytes).toString('utf8');
};

const follow = (log: ContainerLog, query: LogQuery, response: ServerResponse): void => {
  const stop = log.follow((line) => {
    if (line === undefined || response.writableLength > MAX_BUFFERED_BYTES) response.end();
    else if (wanted(line, query)) response.write(rendered(line, query));
  });
  response.once('close', stop);
};

const refuse = (response: ServerResponse, status: number, message: string): void => {
  response.writeHead(status, { 'content-type': 'text/plain' }).end(`${message}\n`);
};

const serveLogs = (pods: Pods, url: URL, response: ServerResponse): void => {
  const [, , namespace = '', podName = '', container = ''] = url.pathname.split('/').map(decodeURIComponent);
  const worker = pods.find(namespace, podName);
  if (!worker) { refuse(response, 404, `pod ${namespace}/${podName} is not on this node`); return; }
  const log = worker.logOf(container, url.searchParams.get('previous') === 'true');
  if (typeof log === 'string') { refuse(response, 400, log); return; }
  const query = logQuery(url.searchParams, Date.now());
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  // reading and subscribing happen in one turn, so no line falls between them
  response.write(logText(readLog(log.path), query));
  if (query.follow && log.live) follow(log.live, query, response);
  else response.end();
};

const serve = (pods: Pods, request: IncomingMessage, response: ServerResponse): void => {
  const url = new URL(request.url ?? '/', 'https://node');
  if (url.pathname === '/healthz') { response.end('ok'); return; }
  if (!(request.socket as TLSSocket).authorized) { refuse(response, 401, 'Unauthorized'); return; }
  if (url.pathname === '/pods') response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ kind: 'PodList', apiVersion: 'v1', items: pods.list() }));
  else if (url.pathname.startsWith('/containerLogs/')) serveLogs(pods, url, response);
  else refuse(response, 501, `this node has no ${url.pathname.split('/')[1] ?? ''}: pods are host processes`);
};

/** Serves on 127.0.0.1; resolves with the port. Only clients with a certificate of `clientCA` get more than /healthz. */
export const serveKubelet = (pods: Pods, files: ServerFiles, port: number): Promise<number> => {
  const options: ServerOptions = {
    cert: readFileSync(files.cert), key: readFileSync(files.key), ca: readFileSync(files.clientCA), requestCert: true, rejectUnauthorized: false,
  };
  const server = createServer(options, (request, response) => {
    try {
      serve(pods, request, response);
    } catch (error) {
      refuse(response, 500, (error as Error).message);
    }
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => { resolve((server.address() as AddressInfo).port); });
  });
};
