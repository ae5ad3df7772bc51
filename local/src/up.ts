// Brings the embedded cluster up and leaves it running: control plane, node agents, resource definitions, the operator.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { applyFiles, kubectl } from './apply.ts';
import { clientFrom } from './controlplane/apirequest.ts';
import { locateBinaries } from './controlplane/binaries.ts';
import { componentNames } from './controlplane/components.ts';
import { tailOf } from './controlplane/start.ts';
import { endLeftovers } from './down.ts';
import { withLock } from './lock.ts';
import { clusterPaths, repositoryRoot } from './paths.ts';
import type { ClusterPaths } from './paths.ts';
import { isAlive, requireSetpriv } from './process.ts';
import { announce } from './progress.ts';
import { readConfig, readState, writeConfig } from './state.ts';
import type { ClusterConfig } from './state.ts';
import { waitForDeployments, waitForJob, waitForNode } from './wait.ts';

const startTimeoutMs = 180_000;
const readyTimeoutMs = 120_000;
const operatorNamespace = 'polar-system';
const definitions = join(repositoryRoot, 'crds');
const manifests = join(repositoryRoot, 'local', 'manifests');
const exampleData = join(repositoryRoot, 'examples', '00-data.yaml');
const exampleDataJob = { namespace: 'default', name: 'toy-pool' };

export interface UpResult { readonly kubeconfig: string; readonly kubectl: string }

const spawnSupervisor = (paths: ClusterPaths): ChildProcess => {
  const log = openSync(join(paths.logs, 'supervisor.log'), 'a', 0o600);
  try {
    const program = join(repositoryRoot, 'local', 'src', 'supervisor.ts');
    return spawn(process.execPath, [program, paths.dir], { detached: true, cwd: repositoryRoot, stdio: ['ignore', log, log, 'ipc'] });
  } finally {
    closeSync(log);
  }
};

const waitUntilRunning = async (paths: ClusterPaths, supervisor: ChildProcess): Promise<void> => {
  const ours = (): ReturnType<typeof readState> => {
    const state = readState(paths);
    return state?.supervisor.pid === supervisor.pid ? state : undefined;
  };
  const done = announce('starting the control plane', () => ours()?.message ?? '');
  const deadline = Date.now() + startTimeoutMs;
  try {
    while (ours()?.phase !== 'running') {
      const state = ours();
      if (state?.phase === 'failed') throw new Error(`the control plane did not start: ${state.message}`);
      const log = join(paths.logs, 'supervisor.log');
      if (supervisor.exitCode !== null || supervisor.signalCode !== null) throw new Error(`the supervisor ended; the end of ${log}:\n${tailOf(log)}`);
      if (Date.now() > deadline) throw new Error(`the control plane did not start within ${startTimeoutMs / 1000} s; see ${paths.logs}`);
      await sleep(50);
    }
  } finally {
    done();
  }
};

/** True when a cluster as asked for already runs; throws when one runs that differs. */
const isUp = (paths: ClusterPaths, config: ClusterConfig): boolean => {
  const state = readState(paths);
  if (state === undefined || !isAlive(state.supervisor)) return false;
  if (state.phase !== 'running') return false;
  const current = readConfig(paths);
  if (isDeepStrictEqual(current?.nodes, config.nodes) && current?.audit === config.audit) return true;
  throw new Error(`a cluster with other settings already runs in ${paths.dir} (${JSON.stringify(current)}); run "down" first to change them`);
};

/** Installs definitions and the operator, and waits until all is ready. Safe to repeat. */
const install = async (paths: ClusterPaths, config: ClusterConfig): Promise<void> => {
  const done = announce('applying resource definitions and the operator');
  const applied = [...await applyFiles(paths.kubeconfig, [definitions]), ...await applyFiles(paths.kubeconfig, [manifests])];
  done();
  console.error(`applied ${applied.length} objects`);
  const client = clientFrom(paths.kubeconfig);
  for (const node of config.nodes) await waitForNode(client, node.name, readyTimeoutMs);
  await waitForDeployments(client, operatorNamespace, readyTimeoutMs).catch(async (error: Error) => {
    const command = ['-n', operatorNamespace, 'logs', 'deployment/polar-operator', '--tail=15'];
    const log = await kubectl(paths.kubeconfig, command).catch((why: Error) => why.message);
    throw new Error(`${error.message}\nThe cluster is left running. The end of the operator's log (kubectl ${command.join(' ')}):\n${log.trim()}`, { cause: error });
  });
};

const start = async (paths: ClusterPaths, config: ClusterConfig): Promise<void> => {
  await endLeftovers(paths, 'of a cluster that ended without "down"');
  mkdirSync(paths.logs, { recursive: true, mode: 0o700 });
  writeConfig(paths, config);
  const supervisor = spawnSupervisor(paths);
  try {
    await waitUntilRunning(paths, supervisor);
    await install(paths, config);
  } finally {
    // From here on the cluster outlives this command, also when the operator is not ready: its logs are wanted then.
    if (supervisor.connected) {
      await new Promise((resolve) => supervisor.send('keep', resolve));
      supervisor.disconnect();
    }
    supervisor.unref();
  }
};

/**
 * Starts the cluster in `dir`, or finds it running, and returns when its nodes and the operator are ready. Throws with
 * the reason when something does not come up; Ctrl-C before the end leaves no process behind.
 */
export const up = async (dir: string, config: ClusterConfig): Promise<UpResult> => {
  requireSetpriv();
  const paths = clusterPaths(dir);
  const binaries = await locateBinaries([...componentNames, 'kubectl']);
  await withLock(`${paths.dir}.lock`, `another "up" or "down" of ${paths.dir}`, async () => {
    const running = isUp(paths, config);
    if (running) console.error('the cluster is already up');
    await (running ? install(paths, config) : start(paths, config));
  });
  return { kubeconfig: paths.kubeconfig, kubectl: binaries.get('kubectl') ?? 'kubectl' };
};

/** Makes the volumes and the toy data of the examples and waits until they are there. Safe to repeat. */
export const makeExampleData = async (kubeconfig: string): Promise<void> => {
  await applyFiles(kubeconfig, [exampleData]);
  await waitForJob(clientFrom(kubeconfig), exampleDataJob, readyTimeoutMs);
};
