// Who is running, on disk: one small file per live process with its pid and start time, so that an outsider can end what a
// lost agent left (nothing, unless the kernel's own kill-on-death failed) without ever hitting a pid used anew.
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface ProcessRecord { readonly pid: number; readonly startTicks: string; readonly what: string }

/** Start time of `pid` in clock ticks since boot; undefined when there is no such process. */
export const startTicks = (pid: number): string | undefined => {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[19];
  } catch {
    return undefined;
  }
};

const folder = (dir: string): string => join(dir, 'processes');

/** Notes a live process; the returned function forgets it again. */
export const recordProcess = (dir: string, pid: number, what: string): () => void => {
  mkdirSync(folder(dir), { recursive: true });
  const file = join(folder(dir), `${pid}.json`);
  writeFileSync(file, JSON.stringify({ pid, startTicks: startTicks(pid) ?? '', what }));
  return () => { rmSync(file, { force: true }); };
};

/** Kills every recorded process that is still the one recorded, and forgets all of them. Returns what it killed. */
export const killRecorded = (dir: string): ProcessRecord[] => {
  const killed: ProcessRecord[] = [];
  mkdirSync(folder(dir), { recursive: true });
  for (const name of readdirSync(folder(dir))) {
    const file = join(folder(dir), name);
    const record = JSON.parse(readFileSync(file, 'utf8')) as ProcessRecord;
    if (record.startTicks !== '' && startTicks(record.pid) === record.startTicks) {
      process.kill(record.pid, 'SIGKILL');
      killed.push(record);
    }
    rmSync(file);
  }
  return killed;
};
