// The host processes behind pods: each container of this project has its pod's name or UID in its environment.
import { readdirSync, readFileSync } from 'node:fs';
import { identify, signalProcess, waitUntilGone } from '../../local/src/process.ts';
import type { ProcessId } from '../../local/src/process.ts';
import { say } from './world.ts';

const read = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
};

/** Live processes with `variable` (NAME=value) in their environment and a command line that matches. */
export const processesWith = (variable: string, commandLine: RegExp): ProcessId[] => {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number);
  const own = pids.filter((pid) => read(pid, 'environ').split('\0').includes(variable));
  return own.filter((pid) => commandLine.test(read(pid, 'cmdline').replaceAll('\0', ' '))).flatMap((pid) => identify(pid) ?? []);
};

/** Live processes of the trainer pod with that UID; of one Python module, when named. */
export const processesOf = (podUid: string, module?: 'polar.launch' | 'polar.rank'): ProcessId[] =>
  processesWith(`POD_UID=${podUid}`, module === undefined ? /^/ : new RegExp(`^\\S*python\\S*( -u)? -m ${module.replace('.', '\\.')} `));

/** Command line of the operator. */
export const OPERATOR = /^\S*node (\S+ )*operator\/src\/main\.ts/;

/** SIGKILL to all of them. Throws when there is none; returns when they are gone. */
export const killAll = async (found: readonly ProcessId[], what: string): Promise<void> => {
  if (found.length === 0) throw new Error(`there is no process of ${what}`);
  say(`kill -9 ${found.map(({ pid }) => pid).join(' ')}: ${what}`);
  found.forEach((id) => signalProcess(id, 'SIGKILL'));
  const left = await waitUntilGone(found, 10_000);
  if (left.length > 0) throw new Error(`still alive after SIGKILL: ${left.map(({ pid }) => pid).join(' ')}`);
};
