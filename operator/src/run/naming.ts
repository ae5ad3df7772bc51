// Names, labels and owner reference of an attempt's children.
import { API_VERSION, LABEL_ATTEMPT, LABEL_KIND, LABEL_RUN, LABEL_RUN_UID } from '../api/labels.ts';
import type { KubeObject, ObjectMeta } from '../runtime/object.ts';
import type { Run, RunKind } from './observed.ts';

// A worker's host name is "<child>-<index>" with an index of up to four digits, and a host name has at most 63 characters.
const MAX_CHILD_NAME = 58;

/** Name of the Job, Service and ConfigMap of an attempt; long run names are cut and told apart by their UID. */
export function childName(run: { readonly kind: RunKind; readonly metadata: { readonly name: string; readonly uid: string } }, attempt: number): string {
  const suffix = `-${run.kind === 'PolarPretrain' ? 'pretrain' : 'finetune'}-${attempt}`;
  const { name, uid } = run.metadata;
  if (name.length + suffix.length <= MAX_CHILD_NAME) return name + suffix;
  const hash = `-${uid.slice(0, 8)}`;
  return `${name.slice(0, MAX_CHILD_NAME - suffix.length - hash.length).replace(/-+$/, '')}${hash}${suffix}`;
}

// "-registry-<task>-<uid><key>"
const REGISTRY = '-registry-';

/** Name of the Job and the ConfigMap of a task that looks after checkpoints. */
export function registryName(run: { readonly metadata: { readonly name: string; readonly uid: string } }, task: string, key: string): string {
  const suffix = `${REGISTRY}${task}-${run.metadata.uid.slice(0, 8)}${key.replace(/[^a-z0-9]/g, '').slice(-8)}`;
  return run.metadata.name.slice(0, MAX_CHILD_NAME - suffix.length).replace(/-+$/, '') + suffix;
}

/** Whether a Job or pod of the run is one that looks after checkpoints. */
export function isRegistryName(run: { readonly metadata: { readonly uid: string } }, name: string): boolean {
  return name.includes(REGISTRY) && name.includes(`-${run.metadata.uid.slice(0, 8)}`);
}

export function childLabels(run: Run, attempt: number): Record<string, string> {
  return {
    [LABEL_KIND]: run.kind,
    [LABEL_RUN]: run.metadata.name.slice(0, 63),
    [LABEL_RUN_UID]: run.metadata.uid,
    [LABEL_ATTEMPT]: String(attempt),
  };
}

/** Metadata of a child: name, labels and the controller reference that lets it be collected with the run. */
export function childMeta(run: Run, attempt: number): ObjectMeta {
  const { namespace, name, uid } = run.metadata;
  return {
    name: childName(run, attempt), namespace, labels: childLabels(run, attempt),
    ownerReferences: [{ apiVersion: API_VERSION, kind: run.kind, name, uid, controller: true, blockOwnerDeletion: true }],
  };
}

/** The attempt an object says it belongs to; 0 when it says none. */
export function attemptOf(object: KubeObject): number {
  const attempt = Number(object.metadata.labels?.[LABEL_ATTEMPT]);
  return Number.isSafeInteger(attempt) && attempt > 0 ? attempt : 0;
}

/** Directory of a run below its checkpoint volume; the UID keeps a recreated namesake apart. */
export function runDirectory(run: Run): string {
  const { namespace, name, uid } = run.metadata;
  return `${namespace}/${run.kind.toLowerCase()}/${name}-${uid.slice(0, 8)}`;
}
