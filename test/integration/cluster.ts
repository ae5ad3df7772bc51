// A real API server (and, when asked, controllers and scheduler) for tests. There is no kubelet: tests play it.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { KubeConfig, CoreV1Api } from '@kubernetes/client-node';
import { applyFiles } from '../../local/src/apply.ts';
import type { ComponentName } from '../../local/src/controlplane/components.ts';
import { startControlPlane } from '../../local/src/controlplane/start.ts';
import type { ControlPlane } from '../../local/src/controlplane/start.ts';
import type { ComponentState } from '../../local/src/controlplane/supervised.ts';
import { localRoot, repositoryRoot } from '../../local/src/paths.ts';
import { identify, isAlive, signalProcess } from '../../local/src/process.ts';
import type { ProcessId } from '../../local/src/process.ts';

export interface TestClusterOptions {
  /** True also runs the controller manager and the scheduler. Default false. */
  readonly controllers?: boolean;
  /** True installs crds/*.yaml. Default false. */
  readonly crds?: boolean;
  /** True restarts a component that a test killed, after one second. Default false. */
  readonly restart?: boolean;
  /** True writes every request that changes something to logs/audit.log. Default false. */
  readonly audit?: boolean;
}

export interface TestCluster {
  readonly dir: string;
  readonly kubeconfigPath: string;
  /** An administrator's configuration for @kubernetes/client-node. */
  readonly adminConfig: KubeConfig;
  /** Creates a namespace of its own for a test and returns its name. */
  readonly namespace: (prefix?: string) => Promise<string>;
  readonly states: () => ComponentState[];
  readonly signal: (name: ComponentName, signal: NodeJS.Signals) => boolean;
  readonly stop: () => Promise<void>;
}

const testRoot = join(localRoot, 'test');
const ownerFile = 'owner.json';

const ownerOf = (dir: string): ProcessId | undefined => {
  try {
    return JSON.parse(readFileSync(join(dir, ownerFile), 'utf8')) as ProcessId;
  } catch {
    return undefined;
  }
};

/** Removes folders of test processes that were killed before they could. */
const removeAbandoned = (): void => {
  for (const name of readdirSync(testRoot)) {
    const dir = join(testRoot, name);
    const owner = ownerOf(dir);
    if (owner !== undefined && !isAlive(owner)) rmSync(dir, { recursive: true, force: true });
  }
};

const newDirectory = (): string => {
  mkdirSync(testRoot, { recursive: true });
  removeAbandoned();
  const dir = mkdtempSync(join(testRoot, 'cluster-'));
  writeFileSync(join(dir, ownerFile), JSON.stringify(identify(process.pid)));
  return dir;
};

/** When the test runner is killed its file processes are not; this one then ends by itself, and its cluster with it. */
const endWithRunner = (): void => {
  const runner = process.ppid;
  setInterval(() => {
    if (process.ppid !== runner) process.exit(1);
  }, 500).unref();
};

const adminOf = (kubeconfigPath: string): KubeConfig => {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfigPath);
  return config;
};

const namespaceMaker = (config: KubeConfig) => async (prefix = 'test'): Promise<string> => {
  const created = await config.makeApiClient(CoreV1Api).createNamespace({ body: { metadata: { generateName: `${prefix}-` } } });
  return created.metadata?.name ?? '';
};

const existing = (kubeconfigPath: string): TestCluster => {
  const adminConfig = adminOf(kubeconfigPath);
  return {
    dir: '',
    kubeconfigPath,
    adminConfig,
    namespace: namespaceMaker(adminConfig),
    states: () => [],
    signal: () => false,
    stop: () => Promise.resolve(),
  };
};

/** The components die with this process anyway; this also removes their folder. */
const removeAtExit = (plane: ControlPlane): void => {
  process.once('exit', () => {
    plane.states().forEach(({ process: id }) => id !== undefined && signalProcess(id, 'SIGKILL'));
    try {
      rmSync(plane.paths.dir, { recursive: true, force: true, maxRetries: 3 });
    } catch {
      // A component still writing is no harm: the next test run removes the folder.
    }
  });
};

/** Starts a cluster for this test process alone, usually in under five seconds. It ends with `stop` or with the process. */
export const startCluster = async (options: TestClusterOptions = {}): Promise<TestCluster> => {
  endWithRunner();
  const dir = newDirectory();
  const plane = await startControlPlane({
    dir,
    components: options.controllers === true ? ['kube-controller-manager', 'kube-scheduler'] : [],
    durable: false,
    restart: options.restart ?? false,
    audit: options.audit ?? false,
  });
  removeAtExit(plane);
  const kubeconfigPath = plane.paths.kubeconfig;
  if (options.crds === true) await applyFiles(kubeconfigPath, [join(repositoryRoot, 'crds')]);
  const adminConfig = adminOf(kubeconfigPath);
  return {
    dir,
    kubeconfigPath,
    adminConfig,
    namespace: namespaceMaker(adminConfig),
    states: plane.states,
    signal: plane.signal,
    stop: async () => {
      await plane.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
};

const shared = new Map<string, Promise<TestCluster>>();

/**
 * One cluster per test process and set of options, started at first use; it ends with the process. With
 * POLAR_CLUSTER_KUBECONFIG set, that cluster is used instead. Each test takes its own namespace.
 */
export const sharedCluster = (options: TestClusterOptions = {}): Promise<TestCluster> => {
  const given = process.env['POLAR_CLUSTER_KUBECONFIG'];
  if (given !== undefined && given !== '') return Promise.resolve(existing(given));
  const key = JSON.stringify([options.controllers === true, options.crds === true, options.restart === true]);
  const started = shared.get(key) ?? startCluster(options);
  shared.set(key, started);
  return started;
};
