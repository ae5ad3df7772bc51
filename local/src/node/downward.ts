// The downward API: what a pod may read about itself, as text.
import type { Container, Pod, ResourceField } from './objects.ts';
import { quantity } from './quantity.ts';

/** Addresses and capacity the node adds to what the pod object says. `allocatable` stands in for absent limits. */
export interface NodeFacts {
  readonly nodeName: string;
  readonly podIP: string;
  readonly hostIP: string;
  readonly allocatable: Readonly<Record<string, string>>;
}

const asLines = (map: Record<string, string> = {}): string =>
  Object.keys(map).sort().map((key) => `${key}=${JSON.stringify(map[key])}`).join('\n');

/** The text of `fieldPath`. Throws Error on a path the downward API does not have. */
export const fieldText = (path: string, pod: Pod, facts: NodeFacts): string => {
  const { metadata, spec } = pod;
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (keyed) return metadata[keyed[1] as 'labels' | 'annotations']?.[keyed[2] ?? ''] ?? '';
  const fields: Readonly<Record<string, string>> = {
    'metadata.name': metadata.name,
    'metadata.namespace': metadata.namespace,
    'metadata.uid': metadata.uid,
    'metadata.labels': asLines(metadata.labels),
    'metadata.annotations': asLines(metadata.annotations),
    'spec.nodeName': facts.nodeName,
    'spec.serviceAccountName': spec.serviceAccountName ?? 'default',
    'status.podIP': facts.podIP,
    'status.podIPs': facts.podIP,
    'status.hostIP': facts.hostIP,
    'status.hostIPs': facts.hostIP,
  };
  const text = fields[path];
  if (text === undefined) throw new Error(`unsupported fieldPath "${path}"`);
  return text;
};

/** The whole number that `field` names, divided by its divisor and rounded up, as Kubernetes does. */
export const resourceText = (field: ResourceField, container: Container, allocatable: Readonly<Record<string, string>>): string => {
  const [group, ...rest] = field.resource.split('.');
  const name = rest.join('.');
  const { limits = {}, requests = {} } = container.resources ?? {};
  const value = group === 'limits' ? limits[name] ?? allocatable[name] : requests[name] ?? limits[name];
  const divisor = quantity(field.divisor ?? '1') || 1;
  return String(Math.ceil(Number((quantity(value ?? '0') / divisor).toPrecision(15))));
};
