// From a kubeconfig or a pod's service account to TLS options and request headers. client-node knows the formats; nothing else of it is used.
import { existsSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import type { buildConnector } from 'undici';

const SERVICE_ACCOUNT_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';
// Projected tokens are replaced long before they expire; client-go reads them again once a minute too.
const HEADER_LIFE_MS = 30_000;

export interface Credentials {
  readonly server: string;
  readonly tls: buildConnector.BuildOptions;
  /** Headers that authenticate a request; read again when they are old or `fresh` is asked for. */
  headers(fresh?: boolean): Promise<Record<string, string>>;
}

/** KUBECONFIG when set, else the pod's service account, else ~/.kube/config. */
export function loadKubeConfig(env: NodeJS.ProcessEnv = process.env): KubeConfig {
  const config = new KubeConfig();
  const inPod = env['KUBERNETES_SERVICE_HOST'] !== undefined && existsSync(SERVICE_ACCOUNT_TOKEN);
  if ((env['KUBECONFIG'] ?? '') === '' && inPod) config.loadFromCluster();
  else config.loadFromDefault();
  return config;
}

/** Reads TLS material once and keeps the headers current. Throws when the kubeconfig has no current cluster. */
export async function credentialsFrom(config: KubeConfig): Promise<Credentials> {
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

async function resolve(config: KubeConfig): Promise<RequestOptions> {
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
