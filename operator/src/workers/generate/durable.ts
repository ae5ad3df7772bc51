// Files that are whole or absent, whatever happens while they are written.
import { randomBytes } from 'node:crypto';
import { link, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

/** The volume is full (or a quota or file size limit is reached): nothing is written by halves, and room helps. */
export class StorageFullError extends Error {}

const FULL: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
// File systems without hard links.
const NO_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

const codeOf = (error: unknown): string | undefined => (error instanceof Error && 'code' in error ? String(error.code) : undefined);

/** Rethrows an error of a write to `path`; StorageFullError when there is no room. */
export function storageError(path: string, error: unknown): Error {
  if (FULL.has(codeOf(error))) return new StorageFullError(`${path}: no room left to write (${codeOf(error) ?? ''}); nothing was left half-written, free or add room and start again`, { cause: error });
  return error instanceof Error ? error : new Error(String(error));
}

/** A name beside `path` that no reader of data takes for data. */
export function temporaryName(path: string): string {
  return `${path}.tmp-${randomBytes(6).toString('hex')}`;
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes a small file through a temporary name: readers see the old one or the new one. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = temporaryName(path);
  try {
    await mkdir(dirname(path), { recursive: true });
    const handle = await open(temporary, 'wx');
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw storageError(path, error);
  }
}

/** Gives a synced temporary file its name unless there is one already: false, and the temporary file is gone. */
export async function publish(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path);
    await rm(temporary);
  } catch (error) {
    if (codeOf(error) === 'EEXIST' || (NO_LINKS.has(codeOf(error)) && (await exists(path)))) {
      await rm(temporary, { force: true });
      return false;
    }
    if (!NO_LINKS.has(codeOf(error))) throw storageError(path, error);
    await rename(temporary, path);
  }
  await syncFolder(dirname(path));
  return true;
}

export async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, (error: unknown) => {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  });
}

/** Whether a name is left over from a write that was killed. */
export const isTemporary = (name: string): boolean => /\.tmp-[0-9a-f]{12}$/.test(name);

/** What a temporary name was to become. */
export const intended = (path: string): string => join(dirname(path), basename(path).replace(/\.tmp-[0-9a-f]{12}$/, ''));
