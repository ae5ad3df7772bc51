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

interface KubeconfigFile {
  'current-context'?: string;
  contexts?: { name: string; context?: { cluster?: string; user?: string } }[];
  clusters?: { name: string; cluster?: Section }[];
  users?: { name: string; user?: Section }[];
}
type Section = Record<string, string>;

const named = <T extends { name: string }>(entries: readonly T[] | undefined, name: string | undefined): T | undefined =>
  entries?.find((entry) => entry.name === name);

/** The text of `NAME-data` (base64), or of the file that `NAME` points to. */
const material = (file: string, from: Section, name: string): Buffer | undefined => {
  const inline = from[`${name}-data`];
  if (inline !== undefined) return Buffer.from(inline, 'base64');
  const path = from[name];
  return path === undefined ? undefined : readFileSync(resolve(dirname(file), path));
};

const sectionsOf = (file: string): { cluster: Section; server: string; user: Section } => {
  const config = parse(readFileSync(file, 'utf8')) as KubeconfigFile;
  const current = config['current-context'];
  const context = named(config.contexts, current)?.context;
  const cluster = named(config.clusters, context?.cluster)?.cluster ?? {};
  const { server } = cluster;
  if (server === undefined) throw new Error(`${file}: expected a current-context with a cluster and its server, got "${current ?? ''}"`);
  return { cluster, server, user: named(config.users, context?.user)?.user ?? {} };
};

/** Server and credentials of the current context of `file`. Throws Error when it names no server or a file it points to is missing. */
export const readKubeconfig = (file: string): Access => {
  const { cluster, server, user } = sectionsOf(file);
  const found = {
    ca: material(file, cluster, 'certificate-authority'),
    cert: material(file, user, 'client-certificate'),
    key: material(file, user, 'client-key'),
    token: user['token'],
  };
  const present = Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined)) as Omit<Access, 'server'>;
  return { server: new URL(server), ...present };
};
