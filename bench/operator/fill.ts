// Thousands of copies of one run that is at rest, with its children: what the sample's names and UIDs are in it, a copy's are its own.
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { create } from '../../operator/src/runtime/verbs.ts';
import { NAMESPACE } from './world.ts';

export interface Member {
  readonly resource: Resource;
  /** As the API server holds it. */
  readonly sample: KubeObject;
}

/** A family in the order of ownership: every member comes after those it names by UID. */
export type Family = readonly Member[];

type Loose = Record<string, unknown> & { metadata: Record<string, unknown>; spec?: Record<string, unknown>; status?: unknown };

const SERVER_FIELDS = ['uid', 'resourceVersion', 'creationTimestamp', 'managedFields', 'generation', 'deletionTimestamp', 'generateName', 'selfLink'];
// Labels and selectors that the Job's strategy makes from its UID; the copy's are made anew.
const JOB_LABELS = ['controller-uid', 'batch.kubernetes.io/controller-uid'];

/** Creates the copies `from` to `to` with so many at a time. */
export const fill = async (client: KubeClient, family: Family, range: { readonly from: number; readonly to: number }): Promise<void> => {
  let next = range.from;
  const worker = async (): Promise<void> => {
    while (next < range.to) await copyFamily(client, family, next++);
  };
  await Promise.all(Array.from({ length: 16 }, worker));
};

const copyFamily = async (client: KubeClient, family: Family, index: number): Promise<void> => {
  const head = family[0]?.sample.metadata.name ?? '';
  const replaced = new Map([[head, `${head}-${index}`]]);
  const own = (text: string): string => [...replaced].reduce((whole, [from, to]) => whole.replaceAll(from, to), text);
  for (const { resource, sample } of family) {
    const copy = JSON.parse(own(JSON.stringify(sample))) as Loose;
    delete copy.status;
    for (const field of SERVER_FIELDS) Reflect.deleteProperty(copy.metadata, field);
    const stored = await create(client, resource, ready(copy, resource) as unknown as KubeObject);
    const [from, to] = [sample.metadata.uid ?? '', stored.metadata.uid ?? ''];
    // Directories of runs carry the beginning of a UID.
    replaced.set(from, to).set(from.slice(0, 8), to.slice(0, 8));
    const { status } = sample as { readonly status?: unknown };
    if (status !== undefined && Object.keys(status as object).length > 0) await writeStatus(client, resource, stored, JSON.parse(own(JSON.stringify(status))));
  }
};

const ready = (copy: Loose, { kind }: Resource): Loose => {
  const { spec = {} } = copy;
  if (kind === 'Service' && spec['clusterIP'] !== 'None') throw new Error('only headless Services can be copied');
  if (kind === 'Job') freshJob(copy, spec);
  return copy;
};

/** As it was before the API server gave it a selector. */
const freshJob = ({ metadata }: Loose, spec: Record<string, unknown>): void => {
  const template = spec['template'] as { metadata: { labels: Record<string, unknown> } };
  for (const labels of [metadata['labels'] as Record<string, unknown>, template.metadata.labels]) {
    for (const label of JOB_LABELS) Reflect.deleteProperty(labels, label);
  }
  Reflect.deleteProperty(spec, 'selector');
};

const writeStatus = async (client: KubeClient, resource: Resource, stored: KubeObject, status: unknown): Promise<void> => {
  const path = pathOf(resource, { namespace: NAMESPACE, name: stored.metadata.name, subresource: 'status' });
  await client.request('PATCH', path, { body: { status }, contentType: 'application/merge-patch+json' });
};
