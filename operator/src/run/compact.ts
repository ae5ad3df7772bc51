// What a cache keeps of each object: the fields this operator reads, equal parts held once. Ten thousand runs with their
// Jobs, pods, Services and ConfigMaps are a few hundred megabytes as they come from the API server.
import type { KubeObject, ObjectMeta } from '../runtime/object.ts';
import type { Share } from '../runtime/share.ts';
import { LABEL_COMPLETION_INDEX } from '../api/labels.ts';
import type { CheckpointRecord } from '../api/status.ts';
import type { StoredRun } from './caches.ts';
import { readableStatus } from './readStatus.ts';
import type { ConfigMap, Job, KubeCondition, Pod, Service } from './objects.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
const GROUP = 'polar.training/';

export interface Compacted {
  readonly run: (run: StoredRun) => StoredRun;
  readonly job: (job: Job) => Job;
  readonly pod: (pod: Pod) => Pod;
  readonly service: (service: Service) => Service;
  /** Without data: whether it still is what it should be is for the API server to say. */
  readonly configMap: (configMap: ConfigMap) => ConfigMap;
}

/** Transforms of the caches of runs and their children. */
export function compacting(share: Share): Compacted {
  const base = ({ apiVersion, kind, metadata }: KubeObject, last: KubeObject | undefined): KubeObject => ({ ...given({ apiVersion, kind }), metadata: metaOf(share, metadata, last?.metadata) });
  return {
    run: inTurn((run, last) => ({ ...base(run, last), ...given({ spec: share(run.spec, last?.spec), status: share(lightStatus(run.status), last?.status) }) })),
    job: inTurn((job, last) => {
      const { parallelism = 0, suspend } = job.spec;
      return { ...base(job, last), spec: share({ parallelism, ...(suspend === true ? { suspend } : {}) }, last?.spec), ...given({ status: share(jobStatus(job.status), last?.status) }) };
    }),
    pod: inTurn((pod, last) => {
      const spec = pod.spec?.nodeName === undefined ? undefined : share({ nodeName: pod.spec.nodeName }, last?.spec);
      return { ...base({ ...pod, metadata: podMeta(pod.metadata) }, last), ...given({ spec, status: share(podStatus(pod.status), last?.status) }) };
    }),
    service: inTurn((service, last) => {
      const { clusterIP, publishNotReadyAddresses, selector, ports } = service.spec;
      return { ...base(service, last), spec: share(given({ clusterIP, publishNotReadyAddresses, selector, ports }), last?.spec) };
    }),
    configMap: inTurn((configMap, last) => base(configMap, last)),
  };
}

/** Objects of a kind mostly are as the one before. */
function inTurn<T>(compact: (object: T, last: T | undefined) => T): (object: T) => T {
  let last: T | undefined;
  return (object) => {
    last = compact(object, last);
    return last;
  };
}

function metaOf(share: Share, metadata: ObjectMeta, last: ObjectMeta | undefined): ObjectMeta {
  const { name, namespace, uid, resourceVersion, generation, creationTimestamp, deletionTimestamp, labels, annotations, ownerReferences, finalizers } = metadata;
  const kept = annotations && withoutLastApplied(annotations);
  return given({
    name, namespace: share(namespace, last?.namespace), uid, resourceVersion, generation, creationTimestamp: share(creationTimestamp, last?.creationTimestamp), deletionTimestamp,
    labels: share(labels, last?.labels), annotations: share(kept, last?.annotations), ownerReferences: share(ownerReferences, last?.ownerReferences), finalizers: share(finalizers, last?.finalizers),
  });
}

/** Annotations without kubectl's copy of the whole object. */
export function withoutLastApplied(annotations: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return filtered(annotations, (key) => key !== LAST_APPLIED);
}

/** What the Job controller writes for itself is most of a pod's metadata. */
function podMeta({ labels, annotations, finalizers, ...rest }: ObjectMeta): ObjectMeta {
  return { ...rest, ...given({ labels: ours(labels), annotations: ours(annotations), finalizers: finalizers?.filter((one) => one.startsWith(GROUP)) }) };
}

function ours(texts: Readonly<Record<string, string>> | undefined): Readonly<Record<string, string>> | undefined {
  return texts && filtered(texts, (key) => key.startsWith(GROUP) || key === LABEL_COMPLETION_INDEX);
}

/** Without the curve, the last validation and what the history of checkpoints tells beside step, loss and tokens, which are most of a status: who needs them asks the API server. */
function lightStatus(stored: StoredRun['status']): StoredRun['status'] {
  if (stored === undefined) return undefined;
  const status = readableStatus(stored);
  const { checkpoints, ...others } = status;
  const kept = filtered(others, (field) => field !== 'curve' && field !== 'validation');
  return checkpoints === undefined ? kept : { ...kept, checkpoints: { ...checkpoints, ...given({ history: checkpoints.history?.map(lightRecord) }) } };
}

function lightRecord({ step, valLoss, tokens }: CheckpointRecord): CheckpointRecord {
  return given({ step, valLoss, tokens }) as CheckpointRecord;
}

function jobStatus(status: Job['status']): Job['status'] {
  if (status === undefined) return undefined;
  const { conditions, startTime } = status;
  return given({ conditions: conditions?.map(lightCondition), startTime });
}

function podStatus(status: Pod['status']): Pod['status'] {
  if (status === undefined) return undefined;
  const { phase, reason, message, conditions, containerStatuses } = status;
  const light = containerStatuses?.map(({ name, ready, state }) => given({ name, ready, state }));
  return given({ phase, reason, message, conditions: conditions?.map(lightCondition), containerStatuses: light });
}

function lightCondition({ type, status, reason, message, lastTransitionTime }: KubeCondition): KubeCondition {
  return given({ type, status, reason, message, lastTransitionTime });
}

type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without the fields that are undefined. */
function given<T extends object>(fields: T): Given<T> {
  return filtered(fields, (_field, value) => value !== undefined) as unknown as Given<T>;
}

function filtered<T extends object>(fields: T, isKept: (field: string, value: unknown) => boolean): T {
  const kept: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(fields)) if (isKept(field, value)) kept[field] = value;
  return kept as T;
}
