// Where the embedded cluster keeps its files. Everything lies under one ignored folder of the repository.
import { join, resolve } from 'node:path';

export const repositoryRoot = resolve(import.meta.dirname, '..', '..');
export const localRoot = join(repositoryRoot, '.local');
/** Built control plane programs; kept by `down`. */
export const binaryDirectory = join(localRoot, 'bin');
export const defaultClusterDirectory = join(localRoot, 'cluster');

export interface ClusterPaths {
  readonly dir: string;
  readonly pki: string;
  readonly etcd: string;
  readonly logs: string;
  readonly nodes: string;
  /** Credentials of a cluster administrator, for people and tests. */
  readonly kubeconfig: string;
  /** What the supervisor was asked to run. */
  readonly config: string;
  /** What the supervisor runs now: process ids, restarts, phase. */
  readonly state: string;
}

/** The files of the cluster that lives in `dir` (made absolute). */
export const clusterPaths = (dir: string): ClusterPaths => {
  const root = resolve(dir);
  return {
    dir: root,
    pki: join(root, 'pki'),
    etcd: join(root, 'etcd'),
    logs: join(root, 'logs'),
    nodes: join(root, 'nodes'),
    kubeconfig: join(root, 'kubeconfig'),
    config: join(root, 'config.json'),
    state: join(root, 'state.json'),
  };
};
