// What an admission by Kueue means for an attempt's pods: node labels and tolerations of the flavors it assigned, what admission checks
// add, and the gate by which Kueue places each pod when it chose a topology.
import { LABEL_COMPLETION_INDEX } from '../api/labels.ts';
import { POD_SET, flavorOf, statusOfWorkload } from './kueue.ts';
import type { Queueing, Toleration, WorkloadStatusView } from './kueue.ts';
import type { RunSpec } from './observed.ts';

type Strings = Readonly<Record<string, string>>;

/** Added to the pods of an attempt. */
export interface Admission {
  readonly labels: Strings;
  readonly annotations: Strings;
  readonly nodeSelector: Strings;
  readonly tolerations: readonly Toleration[];
  readonly schedulingGates: readonly { readonly name: string }[];
}

const TOPOLOGY_GATE = 'kueue.x-k8s.io/topology';
const LABEL_POD_SET = 'kueue.x-k8s.io/podset';
const ANNOTATION_WORKLOAD = 'kueue.x-k8s.io/workload';

/** The admission of the run's Workload, or why it cannot be used. */
export function admissionOf({ workload, flavors }: Queueing, { spec }: RunSpec): Admission | string {
  if (workload === undefined) return 'there is no Workload';
  const status = statusOfWorkload(workload);
  const assigned = status.admission?.podSetAssignments.find(({ name }) => name === POD_SET);
  if (assigned === undefined) return `the admission of Workload "${workload.metadata.name}" has no assignment for pod set "${POD_SET}"`;
  const { replicas } = spec.workers;
  if ((assigned.count ?? replicas) !== replicas) return `the admission is for ${assigned.count} of ${replicas} workers, and a gang starts whole`;
  const names = [...new Set(Object.values(assigned.flavors))];
  const found = names.map((name) => flavors.find((flavor) => flavor.metadata.name === name));
  const missing = names.filter((_, index) => found[index] === undefined);
  if (missing.length > 0) return `no ResourceFlavor ${missing.map((name) => `"${name}"`).join(', ')}, which the admission names`;
  const base = placedBy(workload.metadata.name, assigned.topologyAssignment !== undefined, spec.workers.topology);
  const parts = [...found.flatMap((flavor) => (flavor === undefined ? [] : [fromFlavor(flavorOf(flavor))])), ...updatesOf(status)];
  const merged = parts.reduce(merge, base);
  const clash = clashing(spec.workers.podTemplate?.nodeSelector ?? {}, merged.nodeSelector);
  return clash ?? merged;
}

/** What Kueue's scheduling by topology looks at; pods stay gated until Kueue has written each one's domain into its node selector. */
function placedBy(workload: string, byTopology: boolean, asked: { readonly mode: string; readonly level: string } | undefined): Admission {
  const nothing = { labels: { [LABEL_POD_SET]: POD_SET }, annotations: {}, nodeSelector: {}, tolerations: [], schedulingGates: [] };
  if (!byTopology) return nothing;
  const how = asked === undefined ? { 'kueue.x-k8s.io/podset-unconstrained-topology': 'true' } : { [`kueue.x-k8s.io/podset-${asked.mode}-topology`]: asked.level };
  return { ...nothing, annotations: { ...how, [ANNOTATION_WORKLOAD]: workload }, schedulingGates: [{ name: TOPOLOGY_GATE }] };
}

type Part = Pick<Admission, 'labels' | 'annotations' | 'nodeSelector' | 'tolerations'>;

function fromFlavor({ nodeLabels, tolerations }: ReturnType<typeof flavorOf>): Part {
  return { labels: {}, annotations: {}, nodeSelector: nodeLabels, tolerations };
}

function updatesOf(status: WorkloadStatusView): readonly Part[] {
  return status.admissionChecks.flatMap(({ podSetUpdates }) => podSetUpdates.filter(({ name }) => name === POD_SET));
}

function merge(into: Admission, part: Part): Admission {
  const known = new Set(into.tolerations.map((one) => JSON.stringify(one)));
  return {
    ...into,
    labels: { ...into.labels, ...part.labels }, annotations: { ...into.annotations, ...part.annotations }, nodeSelector: { ...into.nodeSelector, ...part.nodeSelector },
    tolerations: [...into.tolerations, ...part.tolerations.filter((one) => !known.has(JSON.stringify(one)))],
  };
}

function clashing(own: Strings, given: Strings): string | undefined {
  const key = Object.keys(given).find((one) => own[one] !== undefined && own[one] !== given[one]);
  return key === undefined ? undefined : `spec.workers.podTemplate.nodeSelector asks for ${key}=${own[key]}, but the admission gives ${key}=${given[key]}`;
}

/** The topology request of a pod set. */
export function topologyRequest({ spec }: RunSpec): object | undefined {
  const { topology } = spec.workers;
  return topology === undefined ? undefined : { [topology.mode]: topology.level, podIndexLabel: LABEL_COMPLETION_INDEX };
}
