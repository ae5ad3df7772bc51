// A lock between processes. A lock whose holder died counts as free.
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { identify, isAlive } from './process.ts';
import type { ProcessId } from './process.ts';
import { announce } from './progress.ts';

const tryLock = (file: string): boolean => {
  try {
    const descriptor = openSync(file, 'wx');
    writeSync(descriptor, JSON.stringify(identify(process.pid)));
    closeSync(descriptor);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  }
};

const holderOf = (file: string): ProcessId | 'unreadable' | undefined => {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessId;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : 'unreadable';
  }
};

// Of several waiters, one wins the rename. A slow one may have caught the winner's new lock, and puts it back.
const breakStale = (file: string): void => {
  const grave = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, grave);
    const caught = holderOf(grave);
    if (typeof caught === 'object' && isAlive(caught)) renameSync(grave, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  rmSync(grave, { force: true });
};

/** Runs `task` while holding the lock `file`; `holder` names, for people, what is waited for. */
export const withLock = async <T>(file: string, holder: string, task: () => Promise<T>): Promise<T> => {
  mkdirSync(dirname(file), { recursive: true });
  let done: (() => void) | undefined;
  let unreadable = 0;
  while (!tryLock(file)) {
    const other = holderOf(file);
    // A lock just created is empty for a moment.
    unreadable = other === 'unreadable' ? unreadable + 1 : 0;
    if (unreadable > 10 || (typeof other === 'object' && !isAlive(other))) breakStale(file);
    else done ??= announce(`waiting for ${holder}`);
    await sleep(200);
  }
  done?.();
  try {
    return await task();
  } finally {
    rmSync(file, { force: true });
  }
};
