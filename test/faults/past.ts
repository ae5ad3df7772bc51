// Lists as they were at an earlier revision, made from every state the observer saw: what an API server that lags behind serves.
import { LABEL_RUN_UID } from '../../operator/src/api/labels.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { CLAIMS, CONFIG_MAPS, JOBS, PODS, SERVICES } from '../../operator/src/run/objects.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import type { Seen } from './observer.ts';

type PastList = (history: readonly Seen[], revision: number) => string;

const CHILDREN = new Set(['Job', 'Pod', 'Service', 'ConfigMap']);

function listOf({ kind, apiVersion }: Resource): PastList {
  return (history, revision) => {
    const objects = new Map<string, KubeObject>();
    for (const seen of history) {
      if (seen.kind !== kind || seen.revision > revision) continue;
      if (seen.type === 'DELETED') objects.delete(seen.object.metadata.name);
      else objects.set(seen.object.metadata.name, seen.object);
    }
    const items = [...objects.values()].filter((object) => !CHILDREN.has(kind) || object.metadata.labels?.[LABEL_RUN_UID] !== undefined);
    return JSON.stringify({ kind: `${kind}List`, apiVersion, metadata: { resourceVersion: String(revision) }, items });
  };
}

/** By plural. */
export const PAST: ReadonlyMap<string, PastList> = new Map([RUN_RESOURCES.PolarPretrain, RUN_RESOURCES.PolarFinetune, JOBS, PODS, SERVICES, CONFIG_MAPS, CLAIMS].map((resource) => [resource.plural, listOf(resource)]));
