// Starts etcd, the API server and, when asked, the controllers and the scheduler, as children of this process.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterPaths } from '../paths.ts';
import type { ClusterPaths } from '../paths.ts';
import { clusterVariable } from '../process.ts';
import { get } from './apirequest.ts';
import type { ApiClient } from './apirequest.ts';
import { locateBinaries } from './binaries.ts';
import { auditPolicy, componentArguments } from './components.ts';
import type { ComponentName, Layout, Ports } from './components.ts';
import { writeCredentials } from './credentials.ts';
import type { Credentials } from './credentials.ts';
import { freePorts, isFree, isListening } from './ports.ts';
import { SupervisedProcess } from './supervised.ts';
import type { ComponentState } from './supervised.ts';

const readyTimeoutMs = 120_000;
const portTries = 3;
const graceMs: Readonly<Record<ComponentName, number>> = { etcd: 5_000, 'kube-apiserver': 5_000, 'kube-controller-manager': 3_000, 'kube-scheduler': 3_000 };

export interface ControlPlaneOptions {
  /** Folder of the cluster; everything it writes lies below. */
  readonly dir: string;
  /** Default: all four. etcd and the API server always run. */
  readonly components?: readonly ComponentName[];
  /** Default true; false skips fsync in etcd, for tests. */
  readonly durable?: boolean;
  /** Default false; true restarts a component that dies, after 1 s, then 2, 4 ... 30 s. */
  readonly restart?: boolean;
  readonly audit?: boolean;
  /** Called at every start and death of a component. */
  readonly onChange?: (state: ComponentState, died: boolean) => void;
}

export interface ControlPlane {
  readonly paths: ClusterPaths;
  readonly credentials: Credentials;
  readonly server: string;
  readonly client: ApiClient;
  readonly states: () => ComponentState[];
  /** Sends a signal to one component, for fault tests. */
  readonly signal: (name: ComponentName, signal: NodeJS.Signals) => boolean;
  /** Ends all components in reverse order; safe to call twice. */
  readonly stop: () => Promise<void>;
}

/** The end of a log file, at most `bytes` long. */
export const tailOf = (file: string, bytes = 2_000): string => {
  if (!existsSync(file)) return '(no log)';
  const size = statSync(file).size;
  const buffer = Buffer.alloc(Math.min(bytes, size));
  const descriptor = openSync(file, 'r');
  readSync(descriptor, buffer, 0, buffer.length, size - buffer.length);
  closeSync(descriptor);
  return buffer.toString('utf8').trim();
};

/** Ports of an earlier start are kept while free, so that a kubeconfig stays good over a restart. */
const choosePorts = async (paths: ClusterPaths): Promise<Ports> => {
  const file = join(paths.pki, 'ports.json');
  if (existsSync(file)) {
    const kept = JSON.parse(readFileSync(file, 'utf8')) as Ports;
    const free = await Promise.all([kept.apiserver, kept.etcdClient, kept.etcdPeer].map(isFree));
    if (free.every(Boolean)) return kept;
  }
  const [apiserver = 0, etcdClient = 0, etcdPeer = 0] = await freePorts(3);
  const ports = { apiserver, etcdClient, etcdPeer };
  writeFileSync(file, JSON.stringify(ports));
  return ports;
};

const prepare = async (options: ControlPlaneOptions): Promise<Layout> => {
  const paths = clusterPaths(options.dir);
  for (const dir of [paths.pki, paths.etcd, paths.logs]) mkdirSync(dir, { recursive: true, mode: 0o700 });
  const ports = await choosePorts(paths);
  writeFileSync(join(paths.pki, 'audit-policy.yaml'), auditPolicy);
  return { paths, ports, credentials: await writeCredentials(paths, ports.apiserver), durable: options.durable ?? true, audit: options.audit ?? false };
};

interface Running {
  readonly layout: Layout;
  readonly binaries: ReadonlyMap<string, string>;
  readonly processes: Map<ComponentName, SupervisedProcess>;
  readonly options: ControlPlaneOptions;
}

const logFileOf = (layout: Layout, name: string): string => join(layout.paths.logs, `${name}.log`);

const launch = ({ layout, binaries, processes, options }: Running, name: ComponentName): void => {
  const process = new SupervisedProcess({
    name,
    command: {
      file: binaries.get(name) ?? name,
      args: componentArguments(name, layout),
      env: { [clusterVariable]: layout.paths.dir },
      logFile: logFileOf(layout, name),
    },
    graceMs: layout.durable ? graceMs[name] : 0,
    restart: options.restart ?? false,
    onChange: options.onChange ?? ((): void => undefined),
  });
  processes.set(name, process);
};

const stopAll = async (running: Running): Promise<void> => {
  const order: ComponentName[] = ['kube-scheduler', 'kube-controller-manager', 'kube-apiserver', 'etcd'];
  await Promise.all(order.slice(0, 2).map(async (name) => running.processes.get(name)?.stop()));
  for (const name of order.slice(2)) await running.processes.get(name)?.stop();
};

class ComponentDied extends Error {
  readonly log: string;
  constructor(state: ComponentState, logFile: string) {
    const log = tailOf(logFile);
    super(`${state.name} ended before the API server was ready (${state.lastExit ?? 'no exit status'}). The end of ${logFile}:\n${log}`);
    this.log = log;
  }
}

const clientOf = ({ credentials }: Layout): ApiClient => ({
  server: credentials.server,
  authority: credentials.authority.certificate,
  certificate: credentials.admin.certificate,
  key: credentials.admin.key,
});

/** Asks `check` until it returns undefined, which means yes; else it returns why not. */
const waitFor = async ({ layout, processes }: Running, what: string, check: () => Promise<string | undefined>): Promise<void> => {
  const deadline = Date.now() + readyTimeoutMs;
  let last: string | undefined = 'not asked';
  while (Date.now() < deadline) {
    const dead = [...processes.values()].map((one) => one.state).find((state) => state.process === undefined);
    if (dead !== undefined) throw new ComponentDied(dead, logFileOf(layout, dead.name));
    last = await check();
    if (last === undefined) return;
    await sleep(30);
  }
  throw new Error(`${what} was not ready after ${readyTimeoutMs / 1000} s: ${last}`);
};

const answersReady = async (client: ApiClient): Promise<string | undefined> => {
  const answer = await get(client, '/readyz').catch((error: Error) => ({ status: 0, body: error.message }));
  return answer.status === 200 ? undefined : `status ${answer.status}: ${answer.body.slice(0, 500)}`;
};

const attempt = async (options: ControlPlaneOptions, binaries: ReadonlyMap<string, string>): Promise<Running> => {
  const running: Running = { layout: await prepare(options), binaries, processes: new Map(), options };
  try {
    const { ports } = running.layout;
    const client = clientOf(running.layout);
    launch(running, 'etcd');
    // An API server that finds etcd's port closed waits a whole second before it tries again.
    await waitFor(running, 'etcd', async () => ((await isListening(ports.etcdClient)) ? undefined : `nothing listens on port ${ports.etcdClient}`));
    launch(running, 'kube-apiserver');
    await waitFor(running, `the API server at ${client.server}`, () => answersReady(client));
    return running;
  } catch (error) {
    await stopAll(running);
    throw error;
  }
};

/**
 * Starts a control plane and returns when its API server is ready. Builds missing programs first (minutes, once).
 * Every process ends when this one does, however it ends. Throws when a component dies early, with the end of its log.
 */
export const startControlPlane = async (options: ControlPlaneOptions): Promise<ControlPlane> => {
  const components = options.components ?? ['kube-controller-manager', 'kube-scheduler'];
  const binaries = await locateBinaries(['etcd', 'kube-apiserver', ...components]);
  for (let tries = 1; ; tries++) {
    try {
      const running = await attempt(options, binaries);
      components.filter((name) => !running.processes.has(name)).forEach((name) => launch(running, name));
      return controlPlaneOf(running);
    } catch (error) {
      // Between the check and the start another program may have taken a port.
      if (!(error instanceof ComponentDied) || !error.log.includes('address already in use') || tries === portTries) throw error;
    }
  }
};

const controlPlaneOf = (running: Running): ControlPlane => ({
  paths: running.layout.paths,
  credentials: running.layout.credentials,
  server: running.layout.credentials.server,
  client: clientOf(running.layout),
  states: () => [...running.processes.values()].map((one) => one.state),
  signal: (name, signal) => running.processes.get(name)?.signal(signal) ?? false,
  stop: () => stopAll(running),
});
