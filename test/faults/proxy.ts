// The fault proxy: HTTP/1.1 over TLS between one operator and the real API server. It sees every request with its body and every line
// of every watch, and does to them what `Hooks` say. Without hooks it changes one thing: the operator sees one namespace only.
import { Agent, createServer } from 'node:https';
import { request as send } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { callOf } from './call.ts';
import type { Call } from './call.ts';
import type { KeyPair } from '../../local/src/controlplane/certificates.ts';
import { WatchPipe } from './watchPipe.ts';
import type { LineVerdict, WatchLine } from './watchPipe.ts';

/** What happens to one request. `commit` says whether the API server gets it all the same. */
export type Fate =
  | { readonly do: 'pass' }
  /** Runs `then` before it is sent on, between commit and reply, or after the reply; nothing follows when it was lost with its sender. */
  | { readonly do: 'interrupt'; readonly when: 'before' | 'committed' | 'after'; readonly then: () => Promise<'lost' | 'goes on'> }
  | { readonly do: 'answer'; readonly status: number; readonly body: string; readonly headers?: Readonly<Record<string, string>>; readonly commit: boolean }
  /** The connection is closed without an answer. */
  | { readonly do: 'cut'; readonly commit: boolean }
  /** No answer for so long; then the connection is closed. */
  | { readonly do: 'hang'; readonly ms: number; readonly commit: boolean }
  | { readonly do: 'delay'; readonly ms: number }
  /** The answer's body is replaced (an older list). */
  | { readonly do: 'rewrite'; readonly body: (text: string) => string };

export interface Hooks {
  fate(call: Call): Fate | Promise<Fate>;
  line(line: WatchLine): LineVerdict;
}

export const NO_HOOKS: Hooks = { fate: () => ({ do: 'pass' }), line: () => ({ do: 'pass' }) };

export interface ProxyOptions {
  readonly upstream: { readonly server: string; readonly authority: string };
  readonly keys: KeyPair;
  readonly namespace: string;
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export class FaultProxy {
  readonly calls: Call[] = [];
  readonly lines: WatchLine[] = [];
  hooks: Hooks = NO_HOOKS;
  readonly #options: ProxyOptions;
  readonly #agent: Agent;
  readonly #server: ReturnType<typeof createServer>;
  readonly #watches = new Set<WatchPipe>();
  #thawed: Promise<void> = Promise.resolve();
  #thaw: () => void = () => undefined;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#agent = new Agent({ keepAlive: true, ca: options.upstream.authority, maxSockets: 64 });
    this.#server = createServer({ cert: options.keys.certificate, key: options.keys.key }, (request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
    this.#server.requestTimeout = 0;
    this.#server.keepAliveTimeout = 120_000;
    this.#server.on('tlsClientError', () => undefined);
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get watches(): readonly WatchPipe[] {
    return [...this.#watches];
  }

  /** Ends the live watches of these resources, or of all, without a word. */
  cutWatches(resources?: readonly string[]): void {
    for (const watch of this.#watches) if (resources === undefined || resources.includes(watch.resource)) watch.cut();
  }

  /** From now on nothing goes through in either direction, and nothing is closed. */
  freeze(): void {
    this.#thawed = new Promise((resolve) => {
      this.#thaw = resolve;
    });
    for (const watch of this.#watches) watch.hold(this.#thawed);
  }

  thaw(): void {
    this.#thaw();
    this.#thawed = Promise.resolve();
  }

  cutAll(): void {
    this.#server.closeAllConnections();
  }

  async close(): Promise<void> {
    this.thaw();
    this.cutWatches();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    this.#agent.destroy();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await textOf(request);
    const call = callOf({ number: this.calls.length + 1, method: request.method ?? 'GET', url: request.url ?? '/', body }, this.#options.namespace);
    this.calls.push(call);
    await this.#thawed;
    const fate = await this.hooks.fate(call);
    if (call.isWatch && (fate.do === 'pass' || fate.do === 'delay')) return this.#watch(call, request, response);
    await this.#decide(call, fate, { request, response });
  }

  async #decide(call: Call, fate: Fate, pair: { request: IncomingMessage; response: ServerResponse }): Promise<void> {
    const { request, response } = pair;
    if (fate.do === 'interrupt') return this.#interrupt(call, fate, pair);
    if (fate.do === 'delay') await sleep(fate.ms);
    const isSent = !('commit' in fate) || fate.commit;
    const answer = isSent ? await this.#forward(call, request) : undefined;
    if (fate.do === 'hang') await sleep(fate.ms);
    const shown = shownOf(fate, answer);
    if (shown === undefined) response.destroy();
    else await reply(call, response, shown);
  }

  async #interrupt(call: Call, fate: Extract<Fate, { do: 'interrupt' }>, { request, response }: { request: IncomingMessage; response: ServerResponse }): Promise<void> {
    if (fate.when === 'before' && (await fate.then()) === 'lost') return;
    const answer = await this.#forward(call, request);
    if (fate.when === 'committed' && (await fate.then()) === 'lost') return;
    await reply(call, response, answer);
    if (fate.when === 'after') await fate.then();
  }

  /** A connection that was kept alive may be closed under a request: such a request is sent again, as nothing of it was done. */
  async #forward(call: Call, request: IncomingMessage): Promise<Answer> {
    for (let tries = 1; ; tries++) {
      try {
        const upstream = await this.#send(call, request);
        return { status: upstream.statusCode ?? 502, headers: plainHeaders(upstream), body: await textOf(upstream) };
      } catch (error) {
        if (tries === 2 || (call.isWrite && (error as { code?: string }).code !== 'ECONNREFUSED')) throw error;
      }
    }
  }

  #send(call: Call, request: IncomingMessage): Promise<IncomingMessage> {
    const headers = { ...request.headers, 'host': new URL(this.#options.upstream.server).host, 'accept-encoding': 'identity' };
    return new Promise((resolve, reject) => {
      const upstream = send(`${this.#options.upstream.server}${call.url}`, { method: call.method, headers, agent: this.#agent }, resolve);
      upstream.on('error', reject);
      upstream.end(call.body);
    });
  }

  async #watch(call: Call, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const upstream = await this.#send(call, request);
    call.status = upstream.statusCode ?? 502;
    if (call.status !== 200) return reply(call, response, { status: call.status, headers: plainHeaders(upstream), body: await textOf(upstream) });
    response.writeHead(call.status, plainHeaders(upstream));
    response.flushHeaders();
    const pipe = new WatchPipe({ call, upstream, response, judge: (line) => this.#judge(line), waitFor: () => this.#thawed });
    this.#watches.add(pipe);
    await pipe.run();
    this.#watches.delete(pipe);
  }

  #judge(line: WatchLine): LineVerdict {
    this.lines.push(line);
    return this.hooks.line(line);
  }
}

/** What the operator gets; undefined closes its connection. */
function shownOf(fate: Fate, answer: Answer | undefined): Answer | undefined {
  if (fate.do === 'answer') return { status: fate.status, headers: { 'content-type': 'application/json', ...fate.headers }, body: fate.body };
  if (fate.do === 'cut' || fate.do === 'hang' || answer === undefined) return undefined;
  return fate.do === 'rewrite' ? { ...answer, body: fate.body(answer.body) } : answer;
}

function reply(call: Call, response: ServerResponse, answer: Answer): Promise<void> {
  call.status = answer.status;
  if (response.destroyed) return Promise.resolve();
  response.writeHead(answer.status, { ...answer.headers, 'content-length': String(Buffer.byteLength(answer.body)) });
  return new Promise((resolve) => {
    response.once('close', resolve);
    response.end(answer.body, () => resolve());
  });
}

function plainHeaders(message: IncomingMessage): Record<string, string> {
  const dropped = new Set(['content-length', 'transfer-encoding', 'connection', 'keep-alive']);
  return Object.fromEntries(Object.entries(message.headers).flatMap(([name, value]) => (dropped.has(name) || typeof value !== 'string' ? [] : [[name, value]])));
}

async function textOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}
