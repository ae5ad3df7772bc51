// File systems in memory, mounted in the agent's own mount namespace: only it and its pods see them, and they end with them.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { toolPath } from '../sandbox.ts';

const run = promisify(execFile);

const isMounted = (directory: string): boolean =>
  readFileSync('/proc/self/mounts', 'utf8').includes(` ${directory.replaceAll(' ', '\\040')} `);

/** Mounts a tmpfs of at most `bytes` (half the memory when undefined) at `directory`, once. */
export const mountTmpfs = async (directory: string, bytes?: number): Promise<void> => {
  mkdirSync(directory, { recursive: true });
  if (isMounted(directory)) return;
  const options = `mode=0777${bytes === undefined ? '' : `,size=${Math.ceil(bytes)}`}`;
  await run(toolPath('mount'), ['-t', 'tmpfs', '-o', options, 'tmpfs', directory]);
};

/** Unmounts `directory` when something is mounted there; its content may still be in use. */
export const unmount = async (directory: string): Promise<void> => {
  if (isMounted(directory)) await run(toolPath('umount'), ['--lazy', directory]).catch(() => undefined);
};
