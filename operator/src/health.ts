// /healthz, /readyz and /metrics over plain HTTP.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { Registry } from 'prom-client';

export interface Freshness {
  readonly hasSynced: boolean;
  readonly lastSyncAt: number;
  /** False for a resource that this cluster does not serve: its cache is empty and cannot be old. */
  readonly isServed?: boolean;
  readonly resource: { readonly plural: string };
}

export interface Endpoint {
  readonly port: number;
  close(): Promise<void>;
}

type Answer = () => Promise<{ readonly status: number; readonly body: string; readonly type?: string }>;

// A watch that lives brings a bookmark about once a minute.
const STALE_MS = 180_000;

export interface Voting {
  readonly state: string;
  readonly silentMs: number;
  readonly stuckMs: number;
}

/** What an endpoint looks at; each answers with its problems, and none means well. */
export interface Checks {
  readonly live: () => readonly string[];
  readonly ready: () => readonly string[];
}

// An election does a step every two seconds; only one that waits for a dead worker to end may take longer.
const STUCK_MS = 120_000;

/** Serves liveness and readiness with the problems as text. */
export function serveHealth(host: string, port: number, { live, ready }: Checks): Promise<Endpoint> {
  return serve(host, port, { '/healthz': () => Promise.resolve(answerOf(live())), '/readyz': () => Promise.resolve(answerOf(ready())) });
}

function answerOf(problems: readonly string[]): { readonly status: number; readonly body: string } {
  return problems.length === 0 ? { status: 200, body: 'ok\n' } : { status: 503, body: `${problems.join('\n')}\n` };
}

export function serveMetrics(host: string, port: number, registry: Registry): Promise<Endpoint> {
  return serve(host, port, { '/metrics': async () => ({ status: 200, body: await registry.metrics(), type: registry.contentType }) });
}

/** Every cache must hold a full list and have been current within three minutes. */
export function cacheProblems(caches: readonly Freshness[], now: number): readonly string[] {
  const missing = caches.filter((cache) => !cache.hasSynced).map((cache) => `${cache.resource.plural}: no full list yet`);
  const stale = caches.filter((cache) => cache.hasSynced && cache.isServed !== false && now - cache.lastSyncAt > STALE_MS).map((cache) => `${cache.resource.plural}: last current ${seconds(now - cache.lastSyncAt)} s ago`);
  return [...missing, ...stale];
}

/** Leading, or knowing who does: the lease must have been seen within its duration. */
export function votingProblems(election: Voting, leaseDurationMs: number): readonly string[] {
  if (election.silentMs <= leaseDurationMs) return [];
  return [Number.isFinite(election.silentMs) ? `lease: not seen for ${seconds(election.silentMs)} s` : 'lease: not seen yet'];
}

/** Only what a restart heals: an API server that does not answer is no reason. */
export function deadlockProblems(election: Voting): readonly string[] {
  return election.stuckMs <= STUCK_MS ? [] : [`election: no step for ${seconds(election.stuckMs)} s`];
}

function seconds(ms: number): number {
  return Math.round(ms / 1000);
}

async function serve(host: string, port: number, answers: Readonly<Record<string, Answer>>): Promise<Endpoint> {
  const server = createServer((request, response) => {
    const answer = answers[(request.url ?? '').split('?')[0] ?? ''] ?? (() => Promise.resolve({ status: 404, body: 'not found\n' }));
    answer().catch((error: unknown) => ({ status: 500, body: `${String(error)}\n` }))
      .then(({ status, body, ...rest }) => response.writeHead(status, { 'content-type': 'type' in rest && rest.type !== undefined ? rest.type : 'text/plain; charset=utf-8' }).end(body))
      .catch(() => response.destroy());
  });
  await listen(server, host, port);
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve());
  });
}
