// Nodes on which attempts of this run failed are avoided as far as others fit: a wish, so that a cluster of one node still trains.
import type { Attempt } from './desired.ts';
import { nodesToAvoid } from './history.ts';

type Fields = Readonly<Record<string, unknown>>;

/** By name of the node: its label kubernetes.io/hostname may be another. */
export function avoidance({ run, spec }: Attempt): Fields {
  const names = nodesToAvoid(run.status, spec.spec.recovery.avoidNodeAfterFailures);
  if (names.length === 0) return {};
  const matchFields = names.map((name) => ({ key: 'metadata.name', operator: 'NotIn', values: [name] }));
  return { affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: { matchFields } }] } } };
}
