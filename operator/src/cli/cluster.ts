// Reading from a cluster with the user's own kubeconfig: whatever kubectl can log in with, proxies included.
import { existsSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { RequestOptions } from 'node:https';
import { delimiter } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { apiErrorFrom } from '../runtime/apiError.ts';
import type { Args, Io, OptionSpec } from './command.ts';
import { Failure } from './command.ts';

const TIMEOUT_MS = 30_000;
const MAX_WAITS = 5;
const MAX_WAIT_SECONDS = 10;
const MAX_BYTES = 256 * 1024 * 1024;

/** The API server could not be reached, or not in time. */
export class Unanswered extends Failure {}

export interface Cluster {
  readonly context: string;
  readonly namespace: string;
  /** The answer to a GET. Throws ApiError on a refusal, Unanswered when there is no answer. */
  get<T>(path: string, query?: Readonly<Record<string, string>>, accept?: string): Promise<T>;
}

/** The options that kubectl has for it. */
export const CLUSTER_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  namespace: { type: 'string', short: 'n', value: 'NAMESPACE', help: 'default that of the context' },
  context: { type: 'string', value: 'NAME', help: 'context of the kubeconfig; default the current one' },
  kubeconfig: { type: 'string', value: 'FILE', help: 'default $KUBECONFIG, then ~/.kube/config' },
};

/** Throws Failure when the kubeconfig names no such context or no server. */
export async function clusterOf(args: Args, io: Io): Promise<Cluster> {
  const config = await loadConfig(args.text('kubeconfig'), io);
  const asked = args.text('context');
  if (asked !== undefined) {
    const names = config.getContexts().map(({ name }) => name);
    if (!names.includes(asked)) throw new Failure(`--context: expected one of ${names.join(', ')}, got ${JSON.stringify(asked)}`);
    config.setCurrentContext(asked);
  }
  const server = config.getCurrentCluster()?.server;
  const context = config.getCurrentContext();
  if (server === undefined || context === 'loaded-context') throw new Failure('no cluster: set KUBECONFIG or --kubeconfig, or choose a context with --context');
  const namespace = args.text('namespace') ?? config.getContextObject(context)?.namespace ?? 'default';
  return { context, namespace, get: (path, query = {}, accept = 'application/json') => getJson(config, withQuery(`${server.replace(/\/$/, '')}${path}`, query), accept) };
}

/** Loaded only here: it takes longer than a whole fit of a small table. */
async function loadConfig(file: string | undefined, { env }: Io): Promise<KubeConfig> {
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const config = new KubeConfig();
  const files = file === undefined ? (env['KUBECONFIG'] ?? '').split(delimiter).filter((each) => each !== '') : [file];
  const absent = files.find((each) => !existsSync(each));
  if (absent !== undefined) throw new Failure(`kubeconfig ${absent}: no such file`);
  try {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
  } catch (error) {
    throw new Failure(`kubeconfig${files.map((each) => ` ${each}`).join('')}: cannot be read: ${(error as Error).message.split('\n')[0] ?? ''}`);
  }
  return config;
}

function withQuery(address: string, query: Readonly<Record<string, string>>): URL {
  const url = new URL(address);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

async function getJson<T>(config: KubeConfig, url: URL, accept: string): Promise<T> {
  if (url.protocol !== 'https:') throw new Failure(`kubeconfig: expected a server with https, got ${url.origin}`);
  const options: RequestOptions = { method: 'GET', timeout: TIMEOUT_MS, headers: { accept, 'user-agent': 'kubectl-polar' } };
  await config.applyToHTTPSOptions(options);
  for (let waits = 0; ; waits++) {
    const { status, text, retryAfter } = await exchange(url, options);
    if (status === 200) return JSON.parse(text) as T;
    // As client-go does: an API server that starts or is busy says when to come again.
    if (retryAfter === undefined || waits >= MAX_WAITS) throw apiErrorFrom(status, text, `GET ${url.pathname}`);
    await sleep(Math.min(retryAfter, MAX_WAIT_SECONDS) * 1000);
  }
}

interface Answer {
  readonly status: number;
  readonly text: string;
  /** Seconds, of an answer that is no refusal. */
  readonly retryAfter: number | undefined;
}

function answerOf({ statusCode: status = 0, headers }: IncomingMessage, text: string): Answer {
  const seconds = Number(headers['retry-after']);
  return { status, text, retryAfter: (status === 429 || status === 503) && seconds >= 0 ? seconds : undefined };
}

function exchange(url: URL, options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => { reject(new Unanswered(`no answer from ${url.host}: ${error.message}`)); };
    const sent = request(url, options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_BYTES) sent.destroy(new Error('more than 256 MiB'));
        else chunks.push(chunk);
      });
      response.on('end', () => { resolve(answerOf(response, Buffer.concat(chunks).toString('utf8'))); });
      response.on('error', fail);
    });
    sent.on('timeout', () => sent.destroy(new Error(`nothing for ${String(TIMEOUT_MS / 1000)} s`)));
    sent.on('error', fail);
    sent.end();
  });
}
