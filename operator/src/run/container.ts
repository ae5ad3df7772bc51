// The trainer container of a worker.
import { PATH_CONFIG, TERMINATION_LOG, TRAINER_CONTAINER } from '../api/labels.ts';
import type { Attempt } from './desired.ts';
import { credentialsOf } from './store.ts';
import { volumeMounts } from './volumes.ts';

type Fields = Readonly<Record<string, unknown>>;
type Amounts = Readonly<Record<string, string | number>>;

const GPU = 'nvidia.com/gpu';

/** A container may see GPUs it did not ask for, and two workers on one of them cannot train together. */
const NO_GPUS = { name: 'CUDA_VISIBLE_DEVICES', value: '-1' };

export function trainerContainer(of: Attempt): Fields {
  const { image, imagePullPolicy } = of.spec.spec.workers;
  return {
    name: TRAINER_CONTAINER, image: image ?? of.settings.trainerImage, ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }),
    command: ['python', '-m', 'polar.launch', '--config', `${PATH_CONFIG}/run.json`],
    env: environment(of), resources: resources(of), volumeMounts: volumeMounts(of),
    securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
    terminationMessagePath: TERMINATION_LOG, terminationMessagePolicy: 'File',
  };
}

function environment(of: Attempt): readonly Fields[] {
  const threads = threadsPerProcess(of);
  return [
    { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
    { name: 'POD_UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } },
    { name: 'PYTHONUNBUFFERED', value: '1' },
    ...credentialsOf(of.spec),
    { name: 'POLAR_GRACE_SECONDS', value: String(of.spec.spec.workers.terminationGracePeriodSeconds) },
    ...(of.spec.spec.workers.gpusPerWorker === 0 ? [NO_GPUS] : []),
    ...(threads === undefined ? [] : [{ name: 'OMP_NUM_THREADS', value: String(threads) }]),
  ];
}

/** Extended resources such as GPUs belong into limits; Kubernetes makes the request equal. */
function resources(of: Attempt): Fields {
  const { gpusPerWorker, resources: given = {} } = of.spec.spec.workers;
  const gpus = gpusPerWorker === 0 ? {} : { [GPU]: String(gpusPerWorker) };
  const limits = { ...given.limits, ...gpus };
  return { ...(given.requests === undefined ? {} : { requests: given.requests }), ...(Object.keys(limits).length === 0 ? {} : { limits }) };
}

/** Whole CPUs per training process, at least 1; undefined when neither requests nor limits name a CPU amount. */
function threadsPerProcess(of: Attempt): number | undefined {
  const { gpusPerWorker, resources: given = {} } = of.spec.spec.workers;
  const cpu = amountOf(given.requests, 'cpu') ?? amountOf(given.limits, 'cpu');
  return cpu === undefined ? undefined : Math.max(1, Math.floor(cpu / Math.max(1, gpusPerWorker)));
}

function amountOf(amounts: Amounts | undefined, name: string): number | undefined {
  const amount = amounts?.[name];
  if (amount === undefined) return undefined;
  const text = String(amount);
  return text.endsWith('m') ? Number(text.slice(0, -1)) / 1000 : Number.parseFloat(text);
}
