// Names across the nodes of one machine. A node may not read the pods of another, so each agent writes what it would put in
// a hosts file to DIR/names.json, and reads the names.json of the folders beside DIR. A dead agent's file counts for nothing.
import { mkdirSync, readFileSync, readdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { NamedPod } from './hosts.ts';
import { startTicks } from './processes.ts';

interface NamesFile { readonly pid: number; readonly startTicks: string; readonly pods: NamedPod[] }

const FILE = 'names.json';

const namesOnly = ({ pod, ip, ready }: NamedPod): object => {
  const { name, namespace, uid, labels } = pod.metadata;
  const { hostname, subdomain } = pod.spec;
  return { ip, ready, pod: { metadata: { name, namespace, uid, labels }, spec: { hostname, subdomain, containers: [] } } };
};

/** Tells the other agents of this machine about the pods of this one. */
export const publishNames = (dir: string, pods: readonly NamedPod[]): void => {
  mkdirSync(dir, { recursive: true });
  const text = JSON.stringify({ pid: process.pid, startTicks: startTicks(process.pid), pods: pods.map(namesOnly) });
  writeFileSync(join(dir, `${FILE}.new`), text);
  renameSync(join(dir, `${FILE}.new`), join(dir, FILE));
};

const read = (file: string): NamedPod[] => {
  try {
    const found = JSON.parse(readFileSync(file, 'utf8')) as NamesFile;
    return startTicks(found.pid) === found.startTicks ? found.pods : [];
  } catch {
    return [];
  }
};

/** The pods of all other live agents whose folders lie beside `dir`. */
export const peerPods = (dir: string): NamedPod[] => {
  const parent = dirname(dir);
  const others = readdirSync(parent).filter((name) => name !== basename(dir));
  const files = others.map((name) => join(parent, name, FILE)).filter((file) => statSync(file, { throwIfNoEntry: false }));
  return files.flatMap(read);
};
