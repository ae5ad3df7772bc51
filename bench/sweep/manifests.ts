// The objects that a bench applies: claims, the toy pool's Job, a volume of this machine's, the sweeps.
import { COOLDOWN_PERCENT, DATA_CLAIM, RUNS_CLAIM } from './setting.ts';
import type { Setting } from './setting.ts';

const claim = (name: string, volumeName?: string): object => ({
  apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name },
  spec: {
    accessModes: [volumeName === undefined ? 'ReadWriteMany' : 'ReadOnlyMany'], resources: { requests: { storage: '10Gi' } },
    ...(volumeName === undefined ? {} : { storageClassName: '', volumeName }),
  },
});

const folderVolume = (path: string): object => ({
  apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: DATA_CLAIM },
  spec: { capacity: { storage: '10Gi' }, accessModes: ['ReadOnlyMany'], persistentVolumeReclaimPolicy: 'Retain', storageClassName: '', hostPath: { path } },
});

export const POOL_JOB = 'pool';

const poolJob = (options: readonly string[]): object => ({
  apiVersion: 'batch/v1', kind: 'Job', metadata: { name: POOL_JOB },
  spec: {
    backoffLimit: 0,
    template: {
      spec: {
        restartPolicy: 'Never',
        containers: [{
          name: 'toy-pool', image: 'polar.training/toy-pool:dev', command: ['python', 'demo/toy_pool.py', '--out', '/data/pool', ...options],
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        }],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: DATA_CLAIM } }],
      },
    },
  },
});

/** Claims, and what fills the data claim. */
export const dataObjects = ({ pool }: Setting): readonly object[] => {
  if ('folder' in pool) return [claim(RUNS_CLAIM), folderVolume(pool.folder), claim(DATA_CLAIM, DATA_CLAIM)];
  return [claim(RUNS_CLAIM), claim(DATA_CLAIM), poolJob(pool.arguments)];
};

/** What the laws are asked for. */
export interface Target {
  readonly parameters: number;
  readonly tokens: number;
}

const count = (amount: number): string => String(Math.round(amount));

const sweep = ({ template, sizes, steps, seeds, policies }: Setting, name: string, rest: object): object => ({
  apiVersion: 'polar.training/v1alpha1', kind: 'PolarSweep', metadata: { name },
  spec: {
    template, axes: { sizes: sizes.map((architecture) => ({ architecture })), steps, seeds },
    parallelism: 2, maxRetries: 1, fit: { forms: ['power', 'joint'], policies }, ...rest,
  },
});

export const gridSweep = (setting: Setting): object => sweep(setting, 'grid', {});

/** Plans the same points for the target, with cooldowns that branch from trunks, until it is known to `precisionPercent`. */
export const plannedSweep = (setting: Setting, target: Target, limits: { readonly flops: number; readonly precisionPercent: number }): object =>
  sweep(setting, 'planned', {
    strategy: 'planned', cooldowns: { reuse: true, percent: COOLDOWN_PERCENT }, precisionPercent: limits.precisionPercent,
    budget: { flops: count(limits.flops) }, targets: [{ name: 'target', parameters: count(target.parameters), tokens: count(target.tokens) }],
  });
