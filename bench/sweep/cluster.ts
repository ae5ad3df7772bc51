// An embedded cluster of the bench's own, and what a user does there: kubectl and kubectl polar.
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { kubectl } from '../../local/src/apply.ts';
import { clusterPaths, localRoot, repositoryRoot } from '../../local/src/paths.ts';

export interface Cluster {
  kubectl(...args: string[]): Promise<string>;
  apply(...objects: readonly object[]): Promise<void>;
  /** Output of `kubectl polar` with these arguments. */
  polar(...args: string[]): Promise<string>;
  stop(): Promise<void>;
}

const DIRECTORY = join(localRoot, 'bench', 'sweep-cluster');
const NAMESPACE = 'default';
const CLI = join(repositoryRoot, 'operator/src/cli/main.ts');

/** Starts a cluster with the operator; it ends with `stop`, or with this process. */
export const startCluster = async (): Promise<Cluster> => {
  const { kubeconfig } = clusterPaths(DIRECTORY);
  mkdirSync(DIRECTORY, { recursive: true });
  // One that an earlier bench left behind.
  await local('down', '--dir', DIRECTORY);
  await local('up', '--dir', DIRECTORY, '--owner', String(process.pid));
  let applied = 0;
  const ask = (...args: string[]): Promise<string> => kubectl(kubeconfig, ['-n', NAMESPACE, ...args]);
  return {
    kubectl: ask,
    apply: async (...objects) => {
      const file = join(DIRECTORY, `applied-${applied += 1}.json`);
      writeFileSync(file, JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
      await ask('apply', '-f', file);
    },
    polar: (...args) => output(process.execPath, [CLI, ...args, '--kubeconfig', kubeconfig, '-n', NAMESPACE]),
    stop: () => local('down', '--dir', DIRECTORY),
  };
};

const local = (...args: string[]): Promise<void> => new Promise((resolve, reject) => {
  const child = spawn(process.execPath, [join(repositoryRoot, 'local/src/cli.ts'), ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  child.on('error', reject);
  child.on('close', (code) => { if (code === 0) resolve(); else reject(new Error(`local/src/cli.ts ${args.join(' ')} ended with exit code ${String(code)}`)); });
});

const output = (file: string, args: readonly string[]): Promise<string> => new Promise((resolve, reject) => {
  execFile(file, args, { maxBuffer: 256 * 1024 * 1024 }, (error, stdout, stderr) => {
    if (error === null) resolve(stdout);
    else reject(new Error(`${args.slice(1).join(' ')}: ${stderr.trim() || error.message}`));
  });
});

/** The object as JSON. */
export const read = async <T>(cluster: Cluster, kind: string, name: string): Promise<T> => JSON.parse(await cluster.kubectl('get', kind, name, '-o', 'json')) as T;

interface Job { readonly status?: { readonly succeeded?: number; readonly failed?: number } }

/** Waits for the Job. Throws when it fails or has not ended in time. */
export const untilJobEnds = async (cluster: Cluster, name: string, seconds: number): Promise<void> => {
  for (const until = Date.now() + seconds * 1000; ;) {
    const { status = {} } = await read<Job>(cluster, 'job', name);
    if ((status.succeeded ?? 0) > 0) return;
    if ((status.failed ?? 0) > 0) throw new Error(`job/${name} failed: ${await cluster.kubectl('logs', `job/${name}`, '--tail', '20')}`);
    if (Date.now() > until) throw new Error(`job/${name}: not complete after ${seconds} s`);
    await sleep(1000);
  }
};
