// The Job that runs `python -m polar.registry` for a run: a worker's volumes, user and token, but one pod, no devices and its own container.
import { ANNOTATION_TASK, PATH_CHECKPOINTS, PATH_CONFIG, PATH_TOKEN, REGISTRY_CONTAINER } from '../api/labels.ts';
import { desiredConfigMap } from './configMap.ts';
import type { Attempt } from './desired.ts';
import { desiredJob } from './job.ts';
import { childMeta, registryName } from './naming.ts';
import type { ConfigMap, Job } from './objects.ts';
import type { RunSpec } from './observed.ts';
import type { Wanted } from './registry.ts';

type Fields = Readonly<Record<string, unknown>>;

interface WorkerTemplate {
  readonly metadata: Fields;
  readonly spec: Fields & {
    readonly containers: readonly (Fields & { readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[] })[];
    readonly volumes: readonly (Fields & { readonly name: string })[];
  };
}

/** Data and weights are none of its business: a claim that is gone must not keep it from its work. */
const MOUNTED: readonly string[] = [PATH_CONFIG, PATH_TOKEN, PATH_CHECKPOINTS];

const BACKOFF_LIMIT = 3;
const DEADLINE_SECONDS = 3600;
const LOG_SECONDS = 3600;

export function desiredRegistry(of: Attempt, wanted: Wanted): { readonly configMap: ConfigMap; readonly job: Job } {
  const name = registryName(of.run, wanted.task, wanted.key);
  const alone = { ...of, spec: oneWorker(of.spec) };
  const meta = { ...childMeta(of.run, of.attempt), name, annotations: { [ANNOTATION_TASK]: `${wanted.task}/${wanted.key}` } };
  const { template } = desiredJob(alone).spec as { readonly template: WorkerTemplate };
  return {
    configMap: { ...desiredConfigMap(alone), metadata: meta },
    job: {
      apiVersion: 'batch/v1', kind: 'Job', metadata: meta,
      spec: {
        completionMode: 'Indexed', completions: 1, parallelism: 1, backoffLimit: BACKOFF_LIMIT, activeDeadlineSeconds: DEADLINE_SECONDS, ttlSecondsAfterFinished: LOG_SECONDS,
        template: registryTemplate(template, name, wanted.task),
      },
    },
  };
}

function registryTemplate({ metadata, spec }: WorkerTemplate, name: string, task: string): Fields {
  const trainer = spec.containers[0];
  const volumeMounts = trainer?.volumeMounts.filter(({ mountPath }) => MOUNTED.includes(mountPath)) ?? [];
  const volumes = spec.volumes.filter((volume) => volumeMounts.some((mount) => mount.name === volume.name));
  return {
    metadata: { ...metadata, annotations: { 'kubectl.kubernetes.io/default-container': REGISTRY_CONTAINER } },
    spec: {
      ...spec, subdomain: undefined,
      containers: [{ ...trainer, name: REGISTRY_CONTAINER, command: ['python', '-m', 'polar.registry', task, '--config', `${PATH_CONFIG}/run.json`], volumeMounts }],
      volumes: volumes.map((volume) => (volume.name === 'config' ? { ...volume, configMap: { name } } : volume)),
    },
  };
}

/** What it takes of the workers is where they may run, not what they compute with. */
function oneWorker(run: RunSpec): RunSpec {
  const alone = { replicas: 1, gpusPerWorker: 0, podGroup: 'none' as const, resources: undefined, topology: undefined };
  return { ...run, spec: { ...run.spec, workers: { ...run.spec.workers, ...alone } } } as RunSpec;
}
