// Where an attempt's pods may go: close to each other, as a gang scheduler asks, and as an admission says.
import { LABEL_ATTEMPT, LABEL_RUN_UID } from '../api/labels.ts';
import type { Attempt } from './desired.ts';
import { podGroupMark } from './podGroup.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface Template {
  readonly metadata: { readonly labels: Readonly<Record<string, string>>; readonly annotations: Readonly<Record<string, string>> };
  readonly spec: Fields;
}

/** The pod template of an attempt with its topology, its pod group and its admission added; an admission takes no label of ours. */
export function placed(template: Template, of: Attempt): Template {
  const mark = podGroupMark(of);
  const { labels = {}, annotations = {}, nodeSelector = {}, tolerations = [], schedulingGates = [] } = of.admission ?? {};
  const { spec } = template;
  return {
    metadata: {
      labels: { ...labels, ...template.metadata.labels, ...mark.labels },
      annotations: { ...annotations, ...template.metadata.annotations, ...mark.annotations },
    },
    spec: {
      ...spec, ...affinityOf(of, spec['affinity'] as Fields | undefined),
      ...(mark.schedulerName === undefined ? {} : { schedulerName: mark.schedulerName }),
      ...merged('nodeSelector', { ...(spec['nodeSelector'] as Fields | undefined), ...nodeSelector }),
      ...merged('tolerations', [...((spec['tolerations'] as readonly unknown[] | undefined) ?? []), ...tolerations]),
      ...merged('schedulingGates', schedulingGates),
    },
  };
}

function merged(name: string, value: object): Fields {
  return Object.keys(value).length === 0 ? {} : { [name]: value };
}

/** With a queue Kueue chooses the domain. A first pod that requires the company of its own gang may go anywhere. */
function affinityOf({ run, spec: { spec }, attempt }: Attempt, before: Fields | undefined): Fields {
  const { topology } = spec.workers;
  if (topology === undefined || spec.queue !== undefined) return {};
  const term = { topologyKey: topology.level, labelSelector: { matchLabels: { [LABEL_RUN_UID]: run.metadata.uid, [LABEL_ATTEMPT]: String(attempt) } } };
  const podAffinity = topology.mode === 'required'
    ? { requiredDuringSchedulingIgnoredDuringExecution: [term] }
    : { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: term }] };
  return { affinity: { ...before, podAffinity } };
}
