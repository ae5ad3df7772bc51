// Files that change under a running container: written as a kubelet does, into a fresh directory that a rename of the
// `..data` link puts in place at once, so that a reader never sees half of an update.
import { mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface PayloadFile { readonly data: Buffer; readonly mode: number }

/** Relative path in the volume -> file. */
export type Payload = ReadonlyMap<string, PayloadFile>;

const LINK = '..data';

const linkTarget = (directory: string): string | undefined => {
  try {
    return readlinkSync(join(directory, LINK));
  } catch {
    return undefined;
  }
};

const writeVersion = (directory: string, payload: Payload): string => {
  const version = `..${new Date().toISOString().replace(/[^0-9]/g, '_')}${process.hrtime.bigint() % 1000n}`;
  mkdirSync(join(directory, version), { recursive: true });
  for (const [path, { data, mode }] of payload) {
    mkdirSync(dirname(join(directory, version, path)), { recursive: true });
    writeFileSync(join(directory, version, path), data, { mode });
  }
  return version;
};

const linkNames = (directory: string, payload: Payload): void => {
  const names = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? path));
  const present = new Set(readdirSync(directory).filter((name) => !name.startsWith('..')));
  for (const name of names) if (!present.has(name)) symlinkSync(join(LINK, name), join(directory, name));
  for (const name of present) if (!names.has(name)) rmSync(join(directory, name));
};

/** Makes `directory` show exactly `payload`, switching in one step. */
export const writePayload = (directory: string, payload: Payload): void => {
  mkdirSync(directory, { recursive: true });
  const before = linkTarget(directory);
  const version = writeVersion(directory, payload);
  const staged = join(directory, '..data_tmp');
  rmSync(staged, { force: true });
  symlinkSync(version, staged);
  renameSync(staged, join(directory, LINK));
  linkNames(directory, payload);
  if (before !== undefined) rmSync(join(directory, before), { recursive: true, force: true });
};

/** Whether two payloads hold the same files. */
export const samePayload = (a: Payload, b: Payload): boolean =>
  a.size === b.size && [...a].every(([path, file]) => {
    const other = b.get(path);
    return other !== undefined && other.mode === file.mode && other.data.equals(file.data);
  });
