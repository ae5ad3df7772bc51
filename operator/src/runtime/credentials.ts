// From a client configuration to TLS options and request headers.
import type { RequestOptions } from 'node:https';
import type { buildConnector } from 'undici';
import type { ClientConfig } from './kubeconfig.ts';

export { loadKubeConfig } from './kubeconfig.ts';

// Projected tokens are replaced long before they expire; client-go reads them again once a minute too.
const HEADER_LIFE_MS = 30_000;

export interface Credentials {
  readonly server: string;
  readonly tls: buildConnector.BuildOptions;
  /** Headers that authenticate a request; read again when they are old or `fresh` is asked for. */
  headers(fresh?: boolean): Promise<Record<string, string>>;
}

/** Reads TLS material once and keeps the headers current. Throws when the kubeconfig has no current cluster. */
export async function credentialsFrom(config: ClientConfig): Promise<Credentials> {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error(`kubeconfig: no cluster for the current context "${config.getCurrentContext()}"`);
  let options = await resolve(config);
  let readAt = Date.now();
  return {
    server: cluster.server.replace(/\/$/, ''),
    tls: tlsFrom(options, cluster.skipTLSVerify === true),
    async headers(fresh = false) {
      if (fresh || Date.now() - readAt > HEADER_LIFE_MS) {
        options = await resolve(config);
        readAt = Date.now();
      }
      return headersFrom(options);
    },
  };
}

async function resolve(config: ClientConfig): Promise<RequestOptions> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  return options;
}

function headersFrom(options: RequestOptions): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {})) {
    if (typeof value === 'string') headers[name.toLowerCase()] = value;
  }
  if (typeof options.auth === 'string') headers['authorization'] = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  return headers;
}

function tlsFrom(options: RequestOptions, skipVerify: boolean): buildConnector.BuildOptions {
  const { ca, cert, key, pfx, passphrase, servername } = options;
  const given = Object.entries({ ca, cert, key, pfx, passphrase, servername }).filter(([, value]) => value !== undefined && value !== null);
  return { ...Object.fromEntries(given), ...(skipVerify ? { rejectUnauthorized: false } : {}), timeout: 10_000 };
}
