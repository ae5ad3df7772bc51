// A process under measurement: started tied to this one, its processor time and memory read from the kernel.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { endProcesses, identify, spawnTied } from '../../local/src/process.ts';
import type { ProcessId, TiedCommand } from '../../local/src/process.ts';

// USER_HZ, which Linux fixes for what it tells in /proc.
const TICKS_PER_SECOND = 100;

export interface Measured {
  readonly name: string;
  readonly pid: number;
  readonly logFile: string;
  /** Processor seconds of all its threads since it started. */
  readonly cpuSeconds: () => number;
  readonly rssMib: () => number;
  /** Highest resident size since it started. */
  readonly peakMib: () => number;
  readonly isAlive: () => boolean;
  readonly stop: () => Promise<void>;
}

/** Starts a command. Throws when it cannot be started. */
export const startMeasured = (name: string, command: TiedCommand): Measured => {
  const child = spawnTied(command);
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name} could not be started: ${command.file}`);
  child.unref();
  return { ...measuredPid(name, pid), logFile: command.logFile };
};

/** Measures a process that runs already. */
export const measuredPid = (name: string, pid: number): Measured => {
  const id = identify(pid);
  return {
    name, pid, logFile: '',
    cpuSeconds: () => cpuSecondsOf(pid),
    rssMib: () => statusMib(pid, 'VmRSS'),
    peakMib: () => statusMib(pid, 'VmHWM'),
    isAlive: () => identify(pid) !== undefined,
    stop: () => stop(id),
  };
};

const stop = async (id: ProcessId | undefined): Promise<void> => {
  if (id !== undefined) await endProcesses([id], 10_000);
};

const cpuSecondsOf = (pid: number): number => {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
};

const statusMib = (pid: number, field: string): number => {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n').find((one) => one.startsWith(`${field}:`));
  if (line === undefined) throw new Error(`/proc/${pid}/status: expected a line ${field}, found none`);
  return Number(line.split(/\s+/)[1]) / 1024;
};

/** Asks until it holds. Throws, naming what was waited for, when the process dies or the time is over. */
export const until = async (what: string, holds: () => Promise<boolean> | boolean, timeoutMs = 120_000, everyMs = 20): Promise<void> => {
  const deadline = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs / 1000} s`);
    await sleep(everyMs);
  }
};
