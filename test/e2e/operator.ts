// The operator's replicas and their processes on this machine.
import { parseSamples, sumOf } from '../../bench/operator/scrape.ts';
import type { World } from './world.ts';

interface OperatorPod {
  readonly metadata: { readonly uid: string; readonly name: string; readonly deletionTimestamp?: string };
  readonly status?: {
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly { readonly restartCount: number }[];
  };
}

export interface Operator { readonly uid: string; readonly name: string; readonly ip: string; readonly restarts: number }

const isReady = ({ status }: OperatorPod): boolean => status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;

/** The ready replicas in name order: a Service name stands for the first of them. */
export const operatorsOf = async (world: World): Promise<Operator[]> => {
  const { items } = await world.get<{ items: OperatorPod[] }>('pods', '-n', 'polar-system', '-l', 'app.kubernetes.io/name=polar-operator');
  return items.filter((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined)
    .map(({ metadata: { uid, name }, status }) => ({ uid, name, ip: status?.podIP ?? '', restarts: status?.containerStatuses?.[0]?.restartCount ?? 0 }))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
};

/** Streams of trainers that a replica holds open. */
export const streamsOf = async ({ ip }: Operator): Promise<number> => {
  const page = await fetch(`http://${ip}:8080/metrics`, { signal: AbortSignal.timeout(2000) }).then((response) => response.text(), () => '');
  return sumOf(parseSamples(page), 'polar_ingest_streams');
};
