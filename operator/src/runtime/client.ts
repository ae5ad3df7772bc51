// Raw JSON over one keep-alive connection pool to the API server. No caching, no typed serializers (they drop unknown fields).
import { Agent, request as send } from 'undici';
import type { Dispatcher } from 'undici';
import { apiErrorFrom } from './apiError.ts';
import { sleep } from './clock.ts';
import { credentialsFrom } from './credentials.ts';
import type { Credentials } from './credentials.ts';
import { jsonLines } from './jsonLines.ts';
import type { ClientConfig } from './kubeconfig.ts';
import type { KubeObject } from './object.ts';
import { askBeforeSending, observeRequest } from './sending.ts';
import { readList } from './jsonList.ts';
import type { ItemReader } from './jsonList.ts';
import { hearDate } from './serverTime.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface RequestOptions {
  readonly query?: Query;
  readonly body?: unknown;
  /** Media type of the body; application/json unless told. */
  readonly contentType?: string;
  readonly signal?: AbortSignal;
  /** The answer is a list: its items are handed over as they come, and what it says besides is returned. ListBrokenError when not all came. */
  readonly items?: ItemReader;
  /** Time for the whole request, and for each part of a list; 30 s unless told. */
  readonly timeoutMs?: number;
  /** Called directly before the first byte goes out, at every try; the request fails with what it throws. */
  readonly beforeSend?: () => void;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: KubeObject;
}

export interface KubeClient {
  /** One request, answered as parsed JSON. Throws ApiError on a refusal, another Error when there was no answer. 429 and 503 with Retry-After are waited out. */
  request<T>(method: Method, path: string, options?: RequestOptions): Promise<T>;
  /** The events of a watch until the server ends it or the signal aborts. Throws on a refusal, a broken connection or a malformed line. */
  watch(path: string, query: Query, signal: AbortSignal): AsyncIterable<WatchEvent>;
  close(): Promise<void>;
}

/** The server began to answer with a list and did not come to its end: its time for a request may have been over. */
export class ListBrokenError extends Error {
  override readonly name = 'ListBrokenError';
}

const REQUEST_TIMEOUT_MS = 30_000;
const MAX_WAITS = 5;
const MAX_WAIT_SECONDS = 30;

interface Connection {
  readonly credentials: Credentials;
  readonly agent: Dispatcher;
  readonly host: string;
}

/** A client for the current context of a kubeconfig. */
export async function clientFor(config: ClientConfig): Promise<KubeClient> {
  const credentials = await credentialsFrom(config);
  const agent = new Agent({ connect: credentials.tls, connections: 64, keepAliveTimeout: 60_000, headersTimeout: REQUEST_TIMEOUT_MS, bodyTimeout: 0, allowH2: false });
  const connection = { credentials, agent: agent.compose(askBeforeSending), host: new URL(credentials.server).host };
  return {
    request: (method, path, options = {}) => requestJson(connection, method, path, options),
    watch: (path, query, signal) => watchPath(connection, path, query, signal),
    close: () => agent.destroy(),
  };
}

async function requestJson<T>(connection: Connection, method: Method, path: string, options: RequestOptions): Promise<T> {
  const signal = signalOf(options);
  for (let waits = 0; ; waits++) {
    const response = await sendOnce(connection, method, path, { ...options, ...(signal === undefined ? {} : { signal }) });
    if (options.items !== undefined && response.statusCode < 300) return (await readList(chunksOf(response, `${method} ${path}`), options.items)) as T;
    const text = await response.body.text();
    if (response.statusCode < 300) return JSON.parse(text) as T;
    const error = apiErrorFrom(response.statusCode, text, `${method} ${path}`);
    const delay = retryDelayMs(response);
    if (delay === undefined || waits >= MAX_WAITS) throw error;
    await sleep(delay, signal);
    if (signal?.aborted === true) throw error;
  }
}

/** A list may take long, as long as it goes on. */
function signalOf({ signal, items, timeoutMs = REQUEST_TIMEOUT_MS }: RequestOptions): AbortSignal | undefined {
  if (items !== undefined) return signal;
  const timeout = AbortSignal.timeout(timeoutMs);
  return signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
}

/** The longest time between two parts of an answer; 0 where the whole has a time, or a watch goes on for as long as it likes. */
function bodyTimeoutOf({ items, timeoutMs = REQUEST_TIMEOUT_MS }: RequestOptions): number {
  return items === undefined ? 0 : timeoutMs;
}

async function* chunksOf({ body }: Dispatcher.ResponseData, what: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) yield chunk as Uint8Array;
  } catch (error) {
    throw new ListBrokenError(`${what}: the list broke off: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function retryDelayMs(response: Dispatcher.ResponseData): number | undefined {
  if (response.statusCode !== 429 && response.statusCode !== 503) return undefined;
  const seconds = Number(response.headers['retry-after']);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, MAX_WAIT_SECONDS) * 1000 + Math.random() * 100 : undefined;
}

/** Sends with current credentials; on 401 once more with credentials read anew, since a token may just have been replaced. */
async function sendOnce(connection: Connection, method: Method, path: string, options: RequestOptions): Promise<Dispatcher.ResponseData> {
  const response = await dispatch(connection, method, path, options, false);
  if (response.statusCode !== 401) return response;
  await response.body.dump();
  return dispatch(connection, method, path, options, true);
}

// eslint-disable-next-line max-params -- the four of a request, and whether to read the credentials anew
async function dispatch(connection: Connection, method: Method, path: string, options: RequestOptions, fresh: boolean): Promise<Dispatcher.ResponseData> {
  const headers: Record<string, string> = { accept: 'application/json', 'user-agent': 'polar-operator', ...(await connection.credentials.headers(fresh)) };
  if (options.body !== undefined) headers['content-type'] = options.contentType ?? 'application/json';
  const observe = observeRequest({ method, path, host: connection.host });
  try {
    const response = await send(`${connection.credentials.server}${path}${queryString(options.query)}`, {
      method, headers, dispatcher: connection.agent,
      ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      bodyTimeout: bodyTimeoutOf(options),
      ...(options.beforeSend === undefined ? {} : { beforeSend: options.beforeSend }),
    });
    observe(response.statusCode);
    hearDate(response.headers['date']);
    return response;
  } catch (error) {
    observe(error instanceof Error ? error : new Error(String(error)));
    throw new Error(`${method} ${path}: no answer from ${connection.host}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function queryString(query: Query = {}): string {
  const given = Object.entries(query).filter((entry): entry is [string, string | number | boolean] => entry[1] !== undefined);
  if (given.length === 0) return '';
  return `?${new URLSearchParams(given.map(([name, value]): [string, string] => [name, String(value)])).toString()}`;
}

async function* watchPath(connection: Connection, path: string, query: Query, signal: AbortSignal): AsyncGenerator<WatchEvent> {
  const response = await sendOnce(connection, 'GET', path, { query: { ...query, watch: true }, signal });
  if (response.statusCode !== 200) throw apiErrorFrom(response.statusCode, await response.body.text(), `WATCH ${path}`);
  try {
    for await (const event of jsonLines(response.body)) yield event as WatchEvent;
  } finally {
    response.body.destroy();
  }
}
