// Host processes that end with their parent, and ends that never hit a recycled process id.
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process that cannot be mistaken for a later one with the same id. */
export interface ProcessId {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since boot. */
  readonly startTime: string;
}

/** Every process of a cluster carries its folder in this variable, so leftovers are found without any record. */
export const clusterVariable = 'POLAR_CLUSTER_DIR';

interface Stat { readonly state: string; readonly parent: number; readonly startTime: string }

const readStat = (pid: number): Stat | undefined => {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the command in parentheses and may itself hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', parent: Number(fields[1]), startTime: fields[19] ?? '' };
};

/** The identity of a live process; undefined when it is gone or a zombie. */
export const identify = (pid: number): ProcessId | undefined => {
  const stat = readStat(pid);
  return stat === undefined || stat.state === 'Z' || stat.state === 'X' ? undefined : { pid, startTime: stat.startTime };
};

export const isAlive = (id: ProcessId): boolean => identify(id.pid)?.startTime === id.startTime;

/** Sends a signal to exactly this process; false when it is gone. */
export const signalProcess = (id: ProcessId, signal: NodeJS.Signals): boolean => {
  if (!isAlive(id)) return false;
  try {
    return process.kill(id.pid, signal);
  } catch {
    return false;
  }
};

/** Waits until all are gone; returns those still alive after `timeoutMs`. */
export const waitUntilGone = async (ids: readonly ProcessId[], timeoutMs: number): Promise<ProcessId[]> => {
  const deadline = Date.now() + timeoutMs;
  let alive = ids.filter(isAlive);
  while (alive.length > 0 && Date.now() < deadline) {
    await sleep(20);
    alive = alive.filter(isAlive);
  }
  return alive;
};

/** SIGTERM, then SIGKILL for those left after `graceMs`; returns those that survived even that. */
export const endProcesses = async (ids: readonly ProcessId[], graceMs: number): Promise<ProcessId[]> => {
  for (const id of ids) signalProcess(id, 'SIGTERM');
  const stubborn = await waitUntilGone(ids, graceMs);
  for (const id of stubborn) signalProcess(id, 'SIGKILL');
  return waitUntilGone(stubborn, 5_000);
};

const ancestors = (): Set<number> => {
  const found = new Set<number>();
  for (let pid = process.pid; pid > 1 && !found.has(pid); pid = readStat(pid)?.parent ?? 0) found.add(pid);
  return found;
};

const carriesVariable = (pid: number, wanted: string): boolean => {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(wanted);
  } catch {
    return false;
  }
};

/** Live processes started for the cluster in `dir`, except this one and its ancestors. */
export const processesOfCluster = (dir: string): ProcessId[] => {
  const own = ancestors();
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => !own.has(pid));
  return pids.filter((pid) => carriesVariable(pid, `${clusterVariable}=${dir}`)).flatMap((pid) => identify(pid) ?? []);
};

export interface TiedCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Receives stdout and stderr, appended. */
  readonly logFile: string;
}

// Between fork and the call that ties it, the parent may already have died: the shell compares before it goes on.
const tie = '[ "$PPID" = "$0" ] || exit 97; exec "$@"';

/**
 * Starts a process in its own session that the kernel kills when this one ends, however it ends (kill -9 included).
 * The process id is the command's own. Needs `setpriv` (util-linux).
 */
export const spawnTied = (command: TiedCommand): ChildProcess => {
  mkdirSync(dirname(command.logFile), { recursive: true });
  const log = openSync(command.logFile, 'a', 0o600);
  try {
    return spawn('setpriv', ['--pdeathsig', 'KILL', '--', '/bin/sh', '-c', tie, String(process.pid), command.file, ...command.args], {
      detached: true,
      stdio: ['ignore', log, log],
      env: { ...process.env, ...command.env },
    });
  } finally {
    closeSync(log);
  }
};

/** Throws when `setpriv` is missing: without it an aborted start would leave processes behind. */
export const requireSetpriv = (): void => {
  const { status } = spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true'], { stdio: 'ignore' });
  if (status !== 0) throw new Error('the embedded cluster needs Linux and setpriv with --pdeathsig (package util-linux): "setpriv --pdeathsig KILL true" failed');
};
