// No container engine: an image is a name for an environment on the host. The map is one JSON file, read again whenever it
// changes, so that a mistake in it can be mended under a waiting pod:
//
//   {
//     "ghcr.io/polar-training/trainer": {
//       "path": ["../trainer/.venv/bin"],        directories put first on PATH; relative ones are relative to this file
//       "env": {"PYTHONUNBUFFERED": "1"},        below the container's own env
//       "workingDir": "/",                       relative like path; used when the container names none
//       "entrypoint": ["python"], "cmd": ["-V"]  used when the container has no command / no args
//     }
//   }
//
// An entry without a tag serves every tag and digest of that name; an entry with a tag serves that tag only.
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

export interface Image {
  readonly path: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly workingDir?: string;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
}

export type ImageTable = Readonly<Record<string, Image>>;

/** No entry for the image, or an unreadable map. The message names the image and what is known. */
export class ImageError extends Error {}

const withoutTag = (name: string): string => name.replace(/@sha256:[0-9a-f]+$/, '').replace(/:[^/:]+$/, '');

/** The entry for `name`: the exact name first, then the name without tag or digest. Throws ImageError. */
export const findImage = (table: ImageTable, name: string): Image => {
  const found = table[name] ?? table[withoutTag(name)];
  if (found) return found;
  const known = Object.keys(table).sort().join(', ') || 'none';
  throw new ImageError(`failed to pull image "${name}": not in the image map of this node; known images: ${known}`);
};

const isStrings = (value: unknown): value is string[] => Array.isArray(value) && value.every((item) => typeof item === 'string');

const entryOf = (file: string, name: string, value: unknown): Image => {
  const raw = value as Partial<Record<keyof Image, unknown>> | null;
  if (typeof raw !== 'object' || raw === null) throw new ImageError(`${file}: "${name}" must be an object, got ${JSON.stringify(value)}`);
  const lists = ['path', 'entrypoint', 'cmd'] as const;
  for (const key of lists) if (raw[key] !== undefined && !isStrings(raw[key])) throw new ImageError(`${file}: "${name}".${key} must be a list of strings`);
  const path = (raw.path as string[] | undefined) ?? [];
  const workingDir = typeof raw.workingDir === 'string' ? { workingDir: resolve(dirname(file), raw.workingDir) } : {};
  return { ...(raw as Partial<Image>), ...workingDir, env: (raw.env as Record<string, string> | undefined) ?? {}, path: path.map((dir) => resolve(dirname(file), dir)) };
};

const parse = (file: string, text: string): ImageTable => {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (error) {
    throw new ImageError(`${file}: not JSON: ${(error as Error).message}`);
  }
  return Object.fromEntries(Object.entries(raw as object).map(([name, value]) => [name, entryOf(file, name, value)]));
};

/** A reader of the map in `file`; it parses again only when the file's time or size changed. */
export const imageMap = (file: string): ((name: string) => Image) => {
  let seen = '';
  let table: ImageTable = {};
  return (name) => {
    const at = statSync(file, { throwIfNoEntry: false });
    if (!at) throw new ImageError(`${file}: the image map of this node is missing`);
    const version = `${at.mtimeMs}:${at.size}:${at.ino}`;
    if (version !== seen) {
      table = parse(file, readFileSync(file, 'utf8'));
      seen = version;
    }
    return findImage(table, name);
  };
};
