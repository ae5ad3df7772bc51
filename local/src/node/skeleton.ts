// The private root of a container: a tree of mount points, and the fstab that fills it. The host's
// directories are bound into it one by one, so a mountPath that the host lacks becomes a directory of the skeleton and the
// host's own tree is never written to.
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readlinkSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

/** One bind mount: `source` on the host at absolute path `target` in the container. */
export interface Mount { readonly source: string; readonly target: string; readonly readOnly: boolean }

/** A file or link of the skeleton itself. */
export interface Extra { readonly target: string; readonly text?: string; readonly link?: string }

const escape = (path: string): string => path.replace(/[\s\\#]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);

/** One fstab line per mount, in order. */
export const fstab = (root: string, mounts: readonly Mount[]): string =>
  mounts.map(({ source, target, readOnly }) => `${escape(source)} ${escape(root + target)} none rbind${readOnly ? ',ro' : ''} 0 0\n`).join('');

const within = (path: string, parent: string): boolean => {
  const rest = relative(parent, path);
  return rest === '' || (!rest.startsWith('..') && !rest.startsWith(sep));
};

/** The deepest existing ancestor of `path`, with every link in it resolved, and what is missing below it. */
const resolveOnHost = (path: string): { base: string; missing: string } => {
  let base = path;
  while (!existsSync(base)) base = dirname(base);
  return { base: realpathSync(base), missing: relative(base, path) };
};

const ancestors = (path: string): string[] => (path === '/' ? ['/'] : [...ancestors(dirname(path)), path]);

const make = (root: string, target: string, asDirectory: boolean): void => {
  mkdirSync(asDirectory ? root + target : dirname(root + target), { recursive: true });
  if (!asDirectory && !existsSync(root + target)) writeFileSync(root + target, '');
};

/** Directories of the host that the skeleton copies, outermost first: those above a missing mountPath. */
const openedDirectories = (mounts: readonly Mount[]): string[] => {
  const opened = new Set(['/', '/dev', '/etc']);
  for (const { target } of mounts) {
    const { base, missing } = resolveOnHost(target);
    if (missing !== '') for (const directory of ancestors(base)) opened.add(directory);
  }
  return [...opened].sort();
};

const copyDirectory = (root: string, directory: string, opened: ReadonlySet<string>, skip: ReadonlySet<string>): Mount[] => {
  const mounts: Mount[] = [];
  for (const name of readdirSync(directory)) {
    const target = join(directory, name);
    if (skip.has(target) || opened.has(target)) continue;
    const entry = lstatSync(target, { throwIfNoEntry: false });
    if (!entry) continue;
    if (entry.isSymbolicLink()) symlinkSync(readlinkSync(target), root + target);
    else {
      make(root, target, entry.isDirectory());
      mounts.push({ source: target, target, readOnly: false });
    }
  }
  return mounts;
};

/** Moves mounts to where their links lead and makes their mount points: in the skeleton, or in the volume they lie inside. */
const placeVolumes = (root: string, volumes: readonly Mount[], opened: ReadonlySet<string>): Mount[] => {
  const placed: Mount[] = [];
  for (const volume of [...volumes].sort((a, b) => a.target.length - b.target.length)) {
    const { base, missing } = resolveOnHost(volume.target);
    const target = join(base, missing);
    const outer = placed.findLast((mount) => within(target, mount.target) && target !== mount.target);
    const asDirectory = statSync(volume.source).isDirectory();
    if (outer) make(outer.source, `/${relative(outer.target, target)}`, asDirectory);
    else if (missing !== '' && opened.has(base)) make(root, target, asDirectory);
    placed.push({ ...volume, target });
  }
  return placed;
};

/** Builds the skeleton at `root` (removing an older one), with `root`.base and `root`.volumes beside it. */
export const buildRoot = (root: string, volumes: readonly Mount[], extras: readonly Extra[]): void => {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(join(root, '.old'), { recursive: true });
  mkdirSync(join(root, 'proc'));
  const opened = openedDirectories(volumes);
  const known = new Set(opened);
  const skip = new Set(['/proc', '/.old', ...extras.map((extra) => extra.target)]);
  const base: Mount[] = [];
  for (const directory of opened) {
    mkdirSync(root + directory, { recursive: true });
    chmodSync(root + directory, statSync(directory).mode & 0o7777);
    base.push(...copyDirectory(root, directory, known, skip));
  }
  for (const { target, text, link } of extras) {
    if (link === undefined) writeFileSync(root + target, text ?? '');
    else symlinkSync(link, root + target);
  }
  writeFileSync(`${root}.base`, fstab(root, base));
  writeFileSync(`${root}.volumes`, fstab(root, placeVolumes(root, volumes, known)));
};
