// The pod's volumes as directories on the host: made, kept current, taken away.
import { chmodSync, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Api } from '../api.ts';
import type { Claim, PersistentVolume, Volume } from '../objects.ts';
import { quantity } from '../quantity.ts';
import { isProjection, payloadOf } from './projection.ts';
import type { ProjectionInput } from './projection.ts';
import { samePayload, writePayload } from './payload.ts';
import type { Payload } from './payload.ts';
import { mountTmpfs, unmount } from './tmpfs.ts';

/** A PVC with this annotation set to "true" is a file system of the requested size, so that it can be filled. */
export const SIZE_LIMIT_ANNOTATION = 'polar.training/size-limit-enforced';

const emptyDir = async (directory: string, from: NonNullable<Volume['emptyDir']>): Promise<string> => {
  if (from.sizeLimit !== undefined || from.medium === 'Memory') {
    await mountTmpfs(directory, from.sizeLimit === undefined ? undefined : quantity(from.sizeLimit));
    return directory;
  }
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o777);
  return directory;
};

const hostPath = ({ path, type = '' }: NonNullable<Volume['hostPath']>): string => {
  if (type === 'DirectoryOrCreate') mkdirSync(path, { recursive: true });
  if (type === 'FileOrCreate' && !existsSync(path)) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, '');
  }
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new Error(`hostPath "${path}" does not exist`);
  if (type.startsWith('Directory') && !found.isDirectory()) throw new Error(`hostPath type check failed: "${path}" is not a directory`);
  if (type.startsWith('File') && !found.isFile()) throw new Error(`hostPath type check failed: "${path}" is not a file`);
  return path;
};

const volumePath = ({ metadata, spec }: PersistentVolume): string => {
  if (spec?.hostPath) return hostPath(spec.hostPath);
  if (spec?.local) return hostPath({ path: spec.local.path });
  throw new Error(`persistentvolume "${metadata.name}" is neither hostPath nor local: this node cannot mount it`);
};

const claimed = async (api: Api, namespace: string, claimName: string): Promise<string> => {
  const claim = await api.get<Claim>(`/api/v1/namespaces/${namespace}/persistentvolumeclaims/${claimName}`);
  const volumeName = claim.spec?.volumeName;
  if (!volumeName || claim.status?.phase !== 'Bound') throw new Error(`persistentvolumeclaim "${claimName}" is not bound`);
  const volume = await api.get<PersistentVolume>(`/api/v1/persistentvolumes/${volumeName}`);
  const directory = volumePath(volume);
  const limited = claim.metadata.annotations?.[SIZE_LIMIT_ANNOTATION] === 'true';
  if (limited) await mountTmpfs(directory, quantity(volume.spec?.capacity?.['storage'] ?? '0'));
  return directory;
};

/** Invariant: `paths` holds the host path of every volume that is ready. */
export class PodVolumes {
  readonly paths = new Map<string, string>();
  readonly #directory: string;
  readonly #api: Api;
  readonly #written = new Map<string, Payload>();

  constructor(directory: string, api: Api) {
    this.#directory = directory;
    this.#api = api;
  }

  /** Makes every volume that is not ready yet. Throws Error naming the volume and what is wrong with it. */
  async prepare(input: ProjectionInput): Promise<void> {
    for (const volume of input.pod.spec.volumes ?? []) {
      if (this.paths.has(volume.name)) continue;
      try {
        this.paths.set(volume.name, await this.#make(volume, input));
      } catch (error) {
        throw new Error(`MountVolume.SetUp failed for volume "${volume.name}": ${(error as Error).message}`, { cause: error });
      }
    }
  }

  /** Brings projected files up to date; a source that is gone for now keeps its last content. */
  async refresh(input: ProjectionInput): Promise<void> {
    for (const volume of input.pod.spec.volumes ?? []) {
      if (this.paths.has(volume.name) && isProjection(volume)) await this.#write(volume, input).catch(() => undefined);
    }
  }

  /** Unmounts and removes everything that belongs to the pod alone. */
  async remove(): Promise<void> {
    for (const directory of this.paths.values()) {
      if (directory.startsWith(this.#directory)) await unmount(directory);
    }
    this.paths.clear();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #make(volume: Volume, input: ProjectionInput): Promise<string> {
    const directory = join(this.#directory, volume.name);
    if (isProjection(volume)) return this.#write(volume, input);
    if (volume.emptyDir) return emptyDir(directory, volume.emptyDir);
    if (volume.hostPath) return hostPath(volume.hostPath);
    if (volume.persistentVolumeClaim) return claimed(this.#api, input.pod.metadata.namespace, volume.persistentVolumeClaim.claimName);
    throw new Error(`this node has no volumes of type ${Object.keys(volume).filter((key) => key !== 'name').join(', ')}`);
  }

  async #write(volume: Volume, input: ProjectionInput): Promise<string> {
    const directory = join(this.#directory, volume.name);
    const payload = await payloadOf(volume, input);
    const before = this.#written.get(volume.name);
    if (before && samePayload(before, payload)) return directory;
    writePayload(directory, payload);
    this.#written.set(volume.name, payload);
    return directory;
  }
}
