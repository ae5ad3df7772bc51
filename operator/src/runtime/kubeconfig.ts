// Where the API server is and how to log in to it: a pod's service account, or a kubeconfig with certificates or a token.
// Whatever else a kubeconfig may ask for (plugins, identity providers, proxies) is left to client-node, which is loaded
// only then: it takes 80 MB and seconds that no operator in a cluster needs.
import { existsSync, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type * as ClientNode from '@kubernetes/client-node/dist/config.js';
import type * as Yaml from 'yaml';

/** What a client needs to know; client-node's KubeConfig is one. */
export interface ClientConfig {
  getCurrentCluster(): { readonly server: string; readonly skipTLSVerify?: boolean } | null;
  getCurrentContext(): string;
  /** Sets TLS material and headers; reads files anew. */
  applyToHTTPSOptions(options: RequestOptions): Promise<void>;
}

// Not imported: in a pod neither is needed.
const load = createRequire(import.meta.url);

type Section = Readonly<Record<string, unknown>>;

interface Entry { readonly name?: string; readonly cluster?: Section; readonly user?: Section; readonly context?: Section }

interface KubeconfigFile {
  readonly 'current-context'?: string;
  readonly clusters?: readonly Entry[];
  readonly users?: readonly Entry[];
  readonly contexts?: readonly Entry[];
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const CLUSTER_FIELDS = new Set(['server', 'certificate-authority', 'certificate-authority-data', 'insecure-skip-tls-verify', 'tls-server-name']);
const USER_FIELDS = new Set(['client-certificate', 'client-certificate-data', 'client-key', 'client-key-data', 'token', 'tokenFile']);

/** KUBECONFIG when set, else the pod's service account, else ~/.kube/config. Throws when a file cannot be read. */
export function loadKubeConfig(env: NodeJS.ProcessEnv = process.env): ClientConfig {
  const given = env['KUBECONFIG'] ?? '';
  if (given === '' && env['KUBERNETES_SERVICE_HOST'] !== undefined && existsSync(`${ACCOUNT}/token`)) return inPod(env);
  const file = given === '' ? join(homedir(), '.kube', 'config') : given;
  return (existsSync(file) ? fromFile(file) : undefined) ?? fromClientNode(file);
}

/** The config of the pod this process runs in: its token is replaced by the kubelet and read anew each time. */
function inPod(env: NodeJS.ProcessEnv): ClientConfig {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${env['KUBERNETES_SERVICE_PORT'] ?? '443'}`;
  return configOf('in-pod', { server, 'certificate-authority': `${ACCOUNT}/ca.crt` }, { tokenFile: `${ACCOUNT}/token` }, '/');
}

/** Undefined when the current context asks for more than certificates and tokens. */
function fromFile(file: string): ClientConfig | undefined {
  const { parse } = load('yaml') as typeof Yaml;
  const { 'current-context': current = '', contexts, clusters, users } = asFile(parse(readFileSync(file, 'utf8')));
  const context = named(contexts, current)?.context ?? {};
  const cluster = named(clusters, context['cluster'])?.cluster;
  const user = named(users, context['user'])?.user ?? {};
  const isPlain = cluster !== undefined && onlyHas(cluster, CLUSTER_FIELDS) && onlyHas(user, USER_FIELDS);
  return isPlain ? configOf(current, cluster, user, dirname(resolve(file))) : undefined;
}

function asFile(parsed: unknown): KubeconfigFile {
  return typeof parsed === 'object' && parsed !== null ? parsed : {};
}

function fromClientNode(file: string): ClientConfig {
  const { KubeConfig } = load('@kubernetes/client-node/dist/config.js') as typeof ClientNode;
  const config = new KubeConfig();
  if (existsSync(file)) config.loadFromFile(file);
  else config.loadFromDefault();
  return config;
}

function named(entries: readonly Entry[] | undefined, name: unknown): Entry | undefined {
  return entries?.find((entry) => entry.name === name);
}

function onlyHas(section: Section, fields: ReadonlySet<string>): boolean {
  return Object.keys(section).every((field) => fields.has(field));
}

function configOf(context: string, cluster: Section, user: Section, folder: string): ClientConfig {
  const servername = cluster['tls-server-name'];
  const material = (section: Section, field: string): Buffer | undefined => {
    const [data, path] = [section[`${field}-data`], section[field]];
    if (typeof data === 'string') return Buffer.from(data, 'base64');
    return typeof path === 'string' ? readFileSync(resolve(folder, path)) : undefined;
  };
  return {
    getCurrentContext: () => context,
    getCurrentCluster: () => ({ server: String(cluster['server']), skipTLSVerify: cluster['insecure-skip-tls-verify'] === true }),
    applyToHTTPSOptions(options) {
      const given = { ca: material(cluster, 'certificate-authority'), cert: material(user, 'client-certificate'), key: material(user, 'client-key'), servername };
      Object.assign(options, Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)));
      const token = tokenOf(user, folder);
      if (token !== undefined) options.headers = { ...options.headers as Readonly<Record<string, string>>, authorization: `Bearer ${token}` };
      return Promise.resolve();
    },
  };
}

/** A token file wins over a token, as with client-go. */
function tokenOf(user: Section, folder: string): string | undefined {
  const { token, tokenFile } = user;
  if (typeof tokenFile === 'string') return readFileSync(resolve(folder, tokenFile), 'utf8').trim();
  return typeof token === 'string' ? token : undefined;
}
