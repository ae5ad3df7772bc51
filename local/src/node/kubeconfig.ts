// Reads a kubeconfig's current context. Not @kubernetes/client-node: loading it costs 87 MB and two seconds, and an agent
// needs certificates and tokens only.
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';

export interface Access {
  readonly server: URL;
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly token?: string;
}

type Named<K extends string> = { name: string } & Partial<Record<K, Record<string, string>>>;
interface KubeconfigFile {
  'current-context'?: string;
  contexts?: Named<'context'>[];
  clusters?: Named<'cluster'>[];
  users?: Named<'user'>[];
}

/** The text of `NAME-data` (base64), or of the file that `NAME` points to. */
const material = (file: string, from: Record<string, string>, name: string): Buffer | undefined => {
  const inline = from[`${name}-data`];
  if (inline !== undefined) return Buffer.from(inline, 'base64');
  const path = from[name];
  return path === undefined ? undefined : readFileSync(resolve(dirname(file), path));
};

const sectionsOf = (file: string): { cluster: Record<string, string>; user: Record<string, string> } => {
  const config = parse(readFileSync(file, 'utf8')) as KubeconfigFile;
  const context = config.contexts?.find(({ name }) => name === config['current-context'])?.context;
  const cluster = config.clusters?.find(({ name }) => name === context?.['cluster'])?.cluster;
  const user = config.users?.find(({ name }) => name === context?.['user'])?.user;
  if (!cluster?.['server']) throw new Error(`${file}: expected a current-context with a cluster and its server, got "${config['current-context'] ?? ''}"`);
  return { cluster, user: user ?? {} };
};

/** Server and credentials of the current context of `file`. Throws Error when it names no server or a file it points to is missing. */
export const readKubeconfig = (file: string): Access => {
  const { cluster, user } = sectionsOf(file);
  const found = {
    ca: material(file, cluster, 'certificate-authority'),
    cert: material(file, user, 'client-certificate'),
    key: material(file, user, 'client-key'),
    token: user['token'],
  };
  const present = Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as Omit<Access, 'server'>;
  return { server: new URL(cluster['server'] ?? ''), ...present };
};
