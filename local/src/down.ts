// Ends the embedded cluster and removes its data. Only processes that are certainly the cluster's are ended.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from './lock.ts';
import { clusterPaths } from './paths.ts';
import type { ClusterPaths } from './paths.ts';
import { endProcesses, isAlive, processesOfCluster, signalProcess, waitUntilGone } from './process.ts';
import type { ProcessId } from './process.ts';
import { announce } from './progress.ts';
import { readState } from './state.ts';

const stopTimeoutMs = 60_000;
const leftoverGraceMs = 5_000;

/** Pods' processes as the agent of a node recorded them: one file each. */
const recordedByNode = (dir: string): ProcessId[] => {
  const folder = join(dir, 'processes');
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names.flatMap((name) => {
    try {
      const { pid, startTicks } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as { pid: number; startTicks: string };
      return [{ pid, startTime: startTicks }];
    } catch {
      return [];
    }
  });
};

const recorded = (paths: ClusterPaths): ProcessId[] => {
  const components = (readState(paths)?.processes ?? []).flatMap((one) => one.process ?? []);
  const nodes = existsSync(paths.nodes) ? readdirSync(paths.nodes) : [];
  return [...components, ...nodes.flatMap((name) => recordedByNode(join(paths.nodes, name)))];
};

/** Ends whatever still runs of the cluster: recorded processes, and those that carry its folder in their environment. */
export const endLeftovers = async (paths: ClusterPaths, whose: string): Promise<void> => {
  const supervisor = readState(paths)?.supervisor;
  const found = [...(supervisor === undefined ? [] : [supervisor]), ...recorded(paths), ...processesOfCluster(paths.dir)];
  const byPid = new Map(found.filter(isAlive).map((id) => [id.pid, id]));
  if (byPid.size === 0) return;
  console.error(`ending ${byPid.size} processes ${whose}: ${[...byPid.keys()].join(' ')}`);
  const left = await endProcesses([...byPid.values()], leftoverGraceMs);
  if (left.length > 0) throw new Error(`processes that cannot be ended: ${left.map(({ pid }) => pid).join(' ')}`);
};

const mountPoints = (dir: string): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8').split('\n').map((line) => line.split(' ')[4] ?? '').filter((point) => point.startsWith(`${dir}/`));

/** A mount below the folder may show files of the user: those are never removed. */
const removeData = (dir: string): void => {
  for (const point of mountPoints(dir).reverse()) execFileSync('umount', [point], { stdio: 'ignore' });
  const left = mountPoints(dir);
  if (left.length > 0) throw new Error(`${dir} is not removed: something is still mounted at ${left.join(', ')}`);
  rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
};

const stopSupervisor = async (paths: ClusterPaths): Promise<void> => {
  const supervisor = readState(paths)?.supervisor;
  if (supervisor === undefined || !signalProcess(supervisor, 'SIGTERM')) return;
  const done = announce('stopping the cluster', () => readState(paths)?.message ?? '');
  await waitUntilGone([supervisor], stopTimeoutMs);
  done();
};

/** Stops everything of the cluster in `dir` and removes the folder; false when there was nothing. Built programs stay. */
export const down = async (dir: string): Promise<boolean> => {
  const paths = clusterPaths(dir);
  return withLock(`${paths.dir}.lock`, `another "up" or "down" of ${paths.dir}`, async () => {
    if (!existsSync(paths.dir) && processesOfCluster(paths.dir).length === 0) return false;
    await stopSupervisor(paths);
    await endLeftovers(paths, 'that did not end by themselves');
    removeData(paths.dir);
    return true;
  });
};
