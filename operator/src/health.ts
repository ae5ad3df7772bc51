// /healthz, /readyz and /metrics over plain HTTP.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { Registry } from 'prom-client';

export interface Freshness {
  readonly hasSynced: boolean;
  readonly lastSyncAt: number;
  readonly resource: { readonly plural: string };
}

export interface Endpoint {
  readonly port: number;
  close(): Promise<void>;
}

type Answer = () => Promise<{ readonly status: number; readonly body: string; readonly type?: string }>;

// A watch that lives brings a bookmark about once a minute.
const STALE_MS = 180_000;

/** Serves liveness and readiness; ready means that every cache holds a full list and has been current within three minutes. */
export function serveHealth(host: string, port: number, caches: readonly Freshness[]): Promise<Endpoint> {
  return serve(host, port, {
    '/healthz': () => Promise.resolve({ status: 200, body: 'ok\n' }),
    '/readyz': () => Promise.resolve(readiness(caches, Date.now())),
  });
}

export function serveMetrics(host: string, port: number, registry: Registry): Promise<Endpoint> {
  return serve(host, port, { '/metrics': async () => ({ status: 200, body: await registry.metrics(), type: registry.contentType }) });
}

export function readiness(caches: readonly Freshness[], now: number): { readonly status: number; readonly body: string } {
  const missing = caches.filter((cache) => !cache.hasSynced).map((cache) => `${cache.resource.plural}: no full list yet`);
  const stale = caches.filter((cache) => cache.hasSynced && now - cache.lastSyncAt > STALE_MS).map((cache) => `${cache.resource.plural}: last current ${Math.round((now - cache.lastSyncAt) / 1000)} s ago`);
  const problems = [...missing, ...stale];
  return problems.length === 0 ? { status: 200, body: 'ok\n' } : { status: 503, body: `${problems.join('\n')}\n` };
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
