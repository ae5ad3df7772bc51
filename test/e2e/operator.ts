// The operator's pod and its process on this machine.
import assert from 'node:assert/strict';
import type { World } from './world.ts';

interface OperatorPod {
  readonly metadata: { readonly uid: string; readonly name: string };
  readonly status: { readonly containerStatuses: readonly { readonly restartCount: number }[] };
}
export interface Operator { readonly uid: string; readonly name: string; readonly restarts: number }

export const operatorOf = async (world: World): Promise<Operator> => {
  const { items } = await world.get<{ items: OperatorPod[] }>('pods', '-n', 'polar-system', '-l', 'app.kubernetes.io/name=polar-operator');
  assert.equal(items.length, 1, 'one operator pod');
  const [pod] = items as [OperatorPod];
  return { uid: pod.metadata.uid, name: pod.metadata.name, restarts: pod.status.containerStatuses[0]?.restartCount ?? 0 };
};
