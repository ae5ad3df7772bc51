// The volumes of a worker: its run config, its token, and each claim once however often it is mounted.
import { PATH_CHECKPOINTS, PATH_CONFIG, PATH_TOKEN, TOKEN_AUDIENCE } from '../api/labels.ts';
import type { Attempt } from './desired.ts';
import { claimsOf, mountsOf } from './mounts.ts';
import { childName } from './naming.ts';
import { isInBucket, VOLUME_CHECKPOINTS } from './store.ts';

type Fields = Readonly<Record<string, unknown>>;

const TOKEN_SECONDS = 3600;

export function podVolumes(of: Attempt): readonly Fields[] {
  const claims = claimsOf(mountsOf(of.spec, of.init));
  return [
    { name: 'config', configMap: { name: childName(of.run, of.attempt) } },
    ...(hasToken(of) ? [{ name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token', audience: TOKEN_AUDIENCE, expirationSeconds: TOKEN_SECONDS } }] } }] : []),
    ...(hasGpus(of) ? [{ name: 'shared-memory', emptyDir: { medium: 'Memory' } }] : []),
    ...(isInBucket(of.spec) ? [{ name: VOLUME_CHECKPOINTS, emptyDir: {} }] : []),
    ...claims.map((claimName, index) => ({ name: `claim-${index}`, persistentVolumeClaim: { claimName } })),
  ];
}

export function volumeMounts(of: Attempt): readonly Fields[] {
  const mounts = mountsOf(of.spec, of.init);
  const claims = claimsOf(mounts);
  return [
    { name: 'config', mountPath: PATH_CONFIG, readOnly: true },
    ...(hasToken(of) ? [{ name: 'token', mountPath: PATH_TOKEN, readOnly: true }] : []),
    // NCCL exchanges data between the processes of a worker through /dev/shm, of which containers get 64 MiB by default.
    ...(hasGpus(of) ? [{ name: 'shared-memory', mountPath: '/dev/shm' }] : []),
    ...(isInBucket(of.spec) ? [{ name: VOLUME_CHECKPOINTS, mountPath: PATH_CHECKPOINTS }] : []),
    ...mounts.map(({ claim, mountPath, readOnly }) => ({ name: `claim-${claims.indexOf(claim)}`, mountPath, ...(readOnly ? { readOnly } : {}) })),
  ];
}

function hasToken(of: Attempt): boolean {
  return of.settings.telemetry !== undefined;
}

function hasGpus(of: Attempt): boolean {
  return of.spec.spec.workers.gpusPerWorker > 0;
}
