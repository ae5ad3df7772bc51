// Storage class `local`: a claim of that class gets a hostPath volume under DIR/volumes, removed by the class's reclaim policy.
// It acts with its own administrator's kubeconfig, since a node may not create volumes.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isStatus } from './api.ts';
import type { Api } from './api.ts';
import { sleep } from './clock.ts';
import { reasonOf } from './log.ts';
import type { Log } from './log.ts';
import { keyOf } from './objects.ts';
import type { Claim, PersistentVolume, StorageClass } from './objects.ts';
import { Reflector } from './reflector.ts';
import { unmount } from './volumes/tmpfs.ts';

export const PROVISIONER = 'polar.training/local-path';
const PROVISIONED_BY = 'pv.kubernetes.io/provisioned-by';
const RETRY_MS = 2_000;

const DEFAULT_CLASS = {
  apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass',
  metadata: { name: 'local', annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
  provisioner: PROVISIONER, volumeBindingMode: 'Immediate', reclaimPolicy: 'Delete', allowVolumeExpansion: false,
};

/** The volume for `claim`: a folder of its own, as large as asked, in every access mode asked for. Pure. */
export const volumeFor = (claim: Claim, storageClass: StorageClass, dir: string): object => {
  const { name, namespace, uid } = claim.metadata;
  return {
    apiVersion: 'v1', kind: 'PersistentVolume',
    metadata: { name: `pvc-${uid}`, annotations: { [PROVISIONED_BY]: PROVISIONER } },
    spec: {
      capacity: { storage: claim.spec?.resources?.requests?.['storage'] ?? '1Gi' },
      accessModes: claim.spec?.accessModes ?? ['ReadWriteOnce'],
      persistentVolumeReclaimPolicy: storageClass.reclaimPolicy ?? 'Delete',
      storageClassName: storageClass.metadata.name,
      hostPath: { path: join(dir, 'volumes', `${namespace}-${name}-${uid}`), type: 'DirectoryOrCreate' },
      claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, namespace, uid },
    },
  };
};

/** Whether `claim` waits for a volume of one of `classes`. */
export const classOf = (claim: Claim, classes: Iterable<StorageClass>): StorageClass | undefined => {
  if (claim.spec?.volumeName || claim.status?.phase === 'Bound' || claim.metadata.deletionTimestamp) return undefined;
  return [...classes].find((one) => one.metadata.name === claim.spec?.storageClassName && one.provisioner === PROVISIONER);
};

const isReleased = (volume: PersistentVolume): boolean =>
  volume.status?.phase === 'Released' && volume.metadata.annotations?.[PROVISIONED_BY] === PROVISIONER
  && volume.spec?.persistentVolumeReclaimPolicy === 'Delete';

const ignore = (status: number) => (error: unknown): void => {
  if (!isStatus(error, status)) throw error;
};

/** A claim of limited size is a file system of its own, mounted there since its first pod. */
const removeFolder = async (path: string): Promise<void> => {
  await unmount(path);
  rmSync(path, { recursive: true, force: true });
};

/** Provisions and reclaims until `signal` aborts. Failures are logged and tried again. */
export const runProvisioner = async (api: Api, dir: string, log: Log, signal: AbortSignal): Promise<void> => {
  let wake = new AbortController();
  const look = (): void => { wake.abort(); };
  const common = { api, log, onChange: look, onGone: look };
  const classes = new Reflector<StorageClass>({ ...common, path: '/apis/storage.k8s.io/v1/storageclasses' });
  const claims = new Reflector<Claim>({ ...common, path: '/api/v1/persistentvolumeclaims' });
  const volumes = new Reflector<PersistentVolume>({ ...common, path: '/api/v1/persistentvolumes' });
  for (const reflector of [classes, claims, volumes]) void reflector.run(signal);
  const provision = async (): Promise<void> => {
    for (const claim of claims.items.values()) {
      const storageClass = classOf(claim, classes.items.values());
      if (!storageClass || [...volumes.items.values()].some((volume) => volume.metadata.name === `pvc-${claim.metadata.uid}`)) continue;
      mkdirSync(join(dir, 'volumes', `${claim.metadata.namespace}-${claim.metadata.name}-${claim.metadata.uid}`), { recursive: true });
      await api.post('/api/v1/persistentvolumes', volumeFor(claim, storageClass, dir)).catch(ignore(409));
      log('info', 'volume provisioned', { claim: keyOf(claim) });
    }
  };
  const reclaim = async (): Promise<void> => {
    for (const volume of [...volumes.items.values()].filter(isReleased)) {
      const path = volume.spec?.hostPath?.path ?? '';
      if (path.startsWith(join(dir, 'volumes/'))) await removeFolder(path);
      await api.remove(`/api/v1/persistentvolumes/${volume.metadata.name}`, { preconditions: { uid: volume.metadata.uid } }).catch(ignore(404));
      log('info', 'volume reclaimed', { volume: volume.metadata.name });
    }
  };
  await api.post('/apis/storage.k8s.io/v1/storageclasses', DEFAULT_CLASS).catch((error: unknown) => {
    if (!isStatus(error, 409)) log('warn', 'storage class not created', { reason: reasonOf(error) });
  });
  while (!signal.aborted) {
    wake = new AbortController();
    try {
      await provision();
      await reclaim();
    } catch (error) {
      log('warn', 'provisioning failed, trying again', { reason: reasonOf(error) });
    }
    await sleep(RETRY_MS, AbortSignal.any([wake.signal, signal]));
  }
};
