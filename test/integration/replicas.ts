// Replicas of the operator as processes of their own, with the permissions of its manifest, on a real API server.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../local/src/controlplane/ports.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { parseSamples, sumOf } from '../../bench/operator/scrape.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { LEASES } from '../../operator/src/runtime/lease.ts';
import type { Lease } from '../../operator/src/runtime/lease.ts';
import { get } from '../../operator/src/runtime/verbs.ts';
import type { TestCluster } from './cluster.ts';
import { eventually } from './runWorld.ts';

export const LEASE = { namespace: 'polar-system', name: 'polar-operator' };

export interface Account {
  /** Path of a kubeconfig. */
  readonly kubeconfig: string;
  /** What the audit log calls its token. */
  readonly credential: string;
}

/** A token of the operator's service account of its own, so that the audit log tells replicas apart. */
export async function operatorAccount(cluster: TestCluster, admin: KubeClient, name: string): Promise<Account> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 7200 } };
  const { status: { token } } = await admin.request<{ status: { token: string } }>('POST', '/api/v1/namespaces/polar-system/serviceaccounts/polar-operator/token', { body });
  const server = cluster.adminConfig.getCurrentCluster();
  if (server === null) throw new Error('the test cluster has no address');
  const named = { cluster: { server: server.server, 'certificate-authority-data': server.caData ?? readFileSync(server.caFile ?? '', 'base64') } };
  const kubeconfig = join(cluster.dir, `${name}.kubeconfig`);
  writeFileSync(kubeconfig, JSON.stringify({
    apiVersion: 'v1', kind: 'Config', 'current-context': 'c', clusters: [{ name: 'c', ...named }], users: [{ name: 'u', user: { token } }], contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
  }), { mode: 0o600 });
  const { jti } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { jti: string };
  return { kubeconfig, credential: `JTI=${jti}` };
}

export interface ReplicaOptions {
  readonly account: Account;
  readonly name: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Folder of its log. */
  readonly dir: string;
}

export interface Replica {
  readonly name: string;
  readonly identity: string;
  readonly credential: string;
  readonly process: ChildProcess;
  readonly ports: { readonly ingest: number; readonly health: number; readonly metrics: number };
  /** HTTP status and text of an endpoint; undefined when nobody answers within a second. */
  readonly ask: (path: '/healthz' | '/readyz' | '/metrics') => Promise<{ readonly status: number; readonly text: string } | undefined>;
  /** Sum of the samples of a metric whose labels contain these. */
  readonly metric: (name: string, labels?: Readonly<Record<string, string>>) => Promise<number>;
  readonly signal: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<void>;
  readonly isAlive: () => boolean;
  readonly logLines: () => readonly Readonly<Record<string, unknown>>[];
}

/** Starts a replica; it listens on ports of its own. Ends with this process at the latest. */
export async function startReplica(options: ReplicaOptions): Promise<Replica> {
  const [ingest = 0, health = 0, metrics = 0] = await freePorts(3);
  const ports = { ingest, health, metrics };
  const logFile = join(options.dir, `${options.name}.log`);
  const log = openSync(logFile, 'a');
  const args = ['operator/src/main.ts', '--ingest-port', String(ingest), '--health-port', String(health), '--metrics-port', String(metrics), ...(options.args ?? [])];
  const env = { PATH: process.env['PATH'], KUBECONFIG: options.account.kubeconfig, POD_NAMESPACE: LEASE.namespace, POD_NAME: options.name, POD_UID: `uid-of-${options.name}`, ...options.env };
  const child = spawn(process.execPath, args, { cwd: repositoryRoot, env, stdio: ['ignore', log, log] });
  closeSync(log);
  process.once('exit', () => child.kill('SIGKILL'));
  const ask: Replica['ask'] = async (path) => {
    try {
      const response = await fetch(`http://127.0.0.1:${path === '/metrics' ? metrics : health}${path}`, { signal: AbortSignal.timeout(1000) });
      return { status: response.status, text: await response.text() };
    } catch {
      return undefined;
    }
  };
  const isAlive = (): boolean => child.exitCode === null && child.signalCode === null;
  return {
    name: options.name, identity: `${options.name}_uid-of-${options.name}`, credential: options.account.credential, process: child, ports, ask, isAlive,
    metric: async (name, labels = {}) => sumOf(parseSamples((await ask('/metrics'))?.text ?? ''), name, (own) => Object.entries(labels).every(([key, value]) => own[key] === value)),
    signal: (signal) => child.kill(signal),
    ended: isAlive() ? once(child, 'exit').then(() => undefined) : Promise.resolve(),
    logLines: () => readFileSync(logFile, 'utf8').split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : [])),
  };
}

export async function holderNow(admin: KubeClient): Promise<string | undefined> {
  return (await get<Lease>(admin, LEASES, LEASE))?.spec?.holderIdentity;
}

/** Waits until one of these leads and works, and returns it. */
export function leaderAmong(admin: KubeClient, replicas: readonly Replica[], withinMs = 60_000): Promise<Replica> {
  return eventually(async () => {
    const holder = await holderNow(admin);
    const leader = replicas.find(({ identity }) => identity === holder);
    if (leader === undefined) throw new Error(`the lease is held by "${String(holder)}", not by one of ${replicas.map(({ identity }) => identity).join(', ')}`);
    return leader;
  }, withinMs);
}

export function untilReady(replica: Replica, withinMs = 60_000): Promise<void> {
  return eventually(async () => {
    const answer = await replica.ask('/readyz');
    if (answer?.status !== 200) throw new Error(`${replica.name} is not ready: ${answer?.text ?? 'no answer'}`);
  }, withinMs);
}
