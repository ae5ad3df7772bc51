// A node agent of its own beside a test cluster, and kubectl on that cluster.
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openAuthority } from '../../local/src/controlplane/certificates.ts';
import { writeNodeCredentials } from '../../local/src/controlplane/credentials.ts';
import { binaryDirectory, repositoryRoot } from '../../local/src/paths.ts';
import type { V1ContainerStatus, V1Pod } from '@kubernetes/client-node';
import type { TestCluster } from './cluster.ts';

export interface TestNode {
  /** The agent's own folder. */
  readonly dir: string;
  readonly imagesFile: string;
  readonly child: ChildProcess;
  readonly log: () => string;
  /** SIGTERM, then waits for the end. */
  readonly stop: () => Promise<void>;
}

const built = join(binaryDirectory, 'kubectl');
const READY_MS = 60_000;

/** Runs kubectl as administrator; resolves with stdout, rejects with stderr in the message. */
export const kubectl = (cluster: TestCluster, args: readonly string[], input?: string): Promise<string> => new Promise((resolve, reject) => {
  const child = execFile(existsSync(built) ? built : 'kubectl', ['--kubeconfig', cluster.kubeconfigPath, ...args], { maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
    if (error) reject(new Error(`kubectl ${args.join(' ')}: ${stderr || error.message}`));
    else resolve(stdout);
  });
  child.stdin?.end(input ?? '');
});

/** Creates objects, given as JSON, in `namespace`. */
export const create = async (cluster: TestCluster, namespace: string, ...objects: object[]): Promise<void> => {
  await kubectl(cluster, ['-n', namespace, 'create', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
};

/** Asks `question` until it gives an answer other than undefined, for at most `ms`. */
export const eventually = async <T>(what: string, question: () => Promise<T | undefined>, ms = 90_000): Promise<T> => {
  const deadline = Date.now() + ms;
  let last = '';
  while (Date.now() < deadline) {
    const answer = await question().catch((error: Error) => { last = error.message; return undefined; });
    if (answer !== undefined) return answer;
    await sleep(150);
  }
  throw new Error(`${what}: not within ${ms / 1000} s. ${last}`);
};

/** A container that runs `script`, in the image these tests use. */
export const shell = (script: string, more: object = {}): object => ({ name: 'main', image: 'polar.test/shell:1', command: ['bash', '-c', script], ...more });

export const podOf = (name: string, spec: object, metadata: object = {}): object =>
  ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, ...metadata }, spec: { restartPolicy: 'Never', terminationGracePeriodSeconds: 5, ...spec } });

export const claimOf = (name: string, storage = '1Gi', annotations: object = {}): object => ({
  apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name, annotations }, spec: { accessModes: ['ReadWriteMany'], resources: { requests: { storage } } },
});

export const testImages = { 'polar.test/shell': { env: { FROM_IMAGE: 'yes' } } };

export const readPod = async (cluster: TestCluster, namespace: string, name: string): Promise<V1Pod> =>
  JSON.parse(await kubectl(cluster, ['-n', namespace, 'get', 'pod', name, '-o', 'json'])) as V1Pod;

export const mainOf = (pod: V1Pod): V1ContainerStatus | undefined => pod.status?.containerStatuses?.[0];

/** A new namespace that pods can be created in. */
export const namespaceOn = async (cluster: TestCluster): Promise<string> => {
  const namespace = await cluster.namespace('node');
  await eventually('default service account', () => kubectl(cluster, ['-n', namespace, 'get', 'sa', 'default']));
  return namespace;
};

/** Starts an agent named `name` with its folder below the cluster's; resolves once its Node is registered. */
export const startTestNode = async (cluster: TestCluster, name: string, images: object, flags: readonly string[] = []): Promise<TestNode> => {
  const dir = join(cluster.dir, `agent-${name}`);
  mkdirSync(dir, { recursive: true });
  const imagesFile = join(dir, 'images.json');
  writeFileSync(imagesFile, JSON.stringify(images));
  const authority = await openAuthority(join(cluster.dir, 'pki'), 'ca');
  const server = cluster.adminConfig.getCurrentCluster()?.server ?? '';
  const { kubeconfig, certFile, keyFile } = await writeNodeCredentials({ authority, server }, dir, { name, address: '127.0.0.1' });
  const child = spawn(process.execPath, [
    join(repositoryRoot, 'local/src/node/main.ts'), '--name', name, '--kubeconfig', kubeconfig, '--dir', join(cluster.dir, 'agents', name), '--images', imagesFile,
    '--tls-cert', certFile, '--tls-key', keyFile, '--client-ca', join(cluster.dir, 'pki', 'ca.crt'),
    '--provisioner-kubeconfig', cluster.kubeconfigPath, ...flags,
  ], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  child.stdout.on('data', (chunk: Buffer) => { log += chunk.toString(); });
  child.stderr.on('data', (chunk: Buffer) => { log += chunk.toString(); });
  await eventually('node agent ready', () => {
    if (child.exitCode !== null) throw new Error(`the node agent ended:\n${log}`);
    return Promise.resolve(log.includes('node agent ready') ? true : undefined);
  }, READY_MS);
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await new Promise((resolve) => child.once('exit', resolve));
  };
  return { dir: join(cluster.dir, 'agents', name), imagesFile, child, log: () => log, stop };
};

/** Host pids of processes whose environment holds `marker`. */
export const processesWith = async (marker: string): Promise<number[]> => {
  const { readdir } = await import('node:fs/promises');
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(marker);
    } catch {
      return false;
    }
  });
};
