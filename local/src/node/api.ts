// A small Kubernetes API client on undici: JSON in, JSON out, and a watch as an async iterator. Nothing is cached here.
import { Agent, request } from 'undici';
import type { Dispatcher } from 'undici';
import { readKubeconfig } from './kubeconfig.ts';

export const patchTypes = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
} as const;

/** The API server's refusal: HTTP status and the message of its Status object. */
export class ApiError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export const isStatus = (error: unknown, status: number): boolean => error instanceof ApiError && error.status === status;

export interface WatchEvent { readonly type: string; readonly object: { code?: number; message?: string; metadata: { resourceVersion: string; uid: string } } }

export interface Api {
  readonly server: URL;
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: object): Promise<T>;
  put<T>(path: string, body: object): Promise<T>;
  patch<T>(path: string, body: object, type?: keyof typeof patchTypes): Promise<T>;
  remove(path: string, body?: object): Promise<void>;
  watch(path: string, signal: AbortSignal): AsyncGenerator<WatchEvent>;
}

const REQUEST_TIMEOUT_MS = 20_000;
/** Bookmarks come about once a minute, so a watch silent for longer than this is dead. */
const WATCH_SILENCE_MS = 150_000;

interface Connection { readonly server: URL; readonly dispatcher: Agent; readonly headers: Record<string, string> }

const connect = (kubeconfigFile: string): Connection => {
  const { server, token, ...tls } = readKubeconfig(kubeconfigFile);
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  return { server, dispatcher: new Agent({ connect: tls }), headers };
};

const messageIn = (text: string): string => {
  try {
    return (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    return text;
  }
};

type Call = { method: Dispatcher.HttpMethod; path: string; body?: object; type?: string };

const call = async <T>(to: Connection, { method, path, body, type }: Call): Promise<T> => {
  const response = await request(new URL(path, to.server), {
    dispatcher: to.dispatcher,
    method,
    headers: { accept: 'application/json', ...to.headers, ...(body && { 'content-type': type ?? 'application/json' }) },
    body: body ? JSON.stringify(body) : null,
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  const text = await response.body.text();
  if (response.statusCode >= 300) throw new ApiError(response.statusCode, messageIn(text));
  return JSON.parse(text) as T;
};

async function* watch(to: Connection, path: string, signal: AbortSignal): AsyncGenerator<WatchEvent> {
  const response = await request(new URL(path, to.server), {
    dispatcher: to.dispatcher, headers: { accept: 'application/json', ...to.headers }, signal, bodyTimeout: WATCH_SILENCE_MS,
  });
  if (response.statusCode >= 300) throw new ApiError(response.statusCode, messageIn(await response.body.text()));
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of response.body) {
    const lines = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield JSON.parse(line) as WatchEvent;
  }
}

/** A client for the current context of `kubeconfigFile`. Throws when the file cannot be read or names no cluster. */
export const connectApi = (kubeconfigFile: string): Api => {
  const to = connect(kubeconfigFile);
  return {
    server: to.server,
    get: (path) => call(to, { method: 'GET', path }),
    post: (path, body) => call(to, { method: 'POST', path, body }),
    put: (path, body) => call(to, { method: 'PUT', path, body }),
    patch: (path, body, type = 'merge') => call(to, { method: 'PATCH', path, body, type: patchTypes[type] }),
    remove: async (path, body) => { await call(to, { method: 'DELETE', path, ...(body && { body }) }); },
    watch: (path, signal) => watch(to, path, signal),
  };
};
