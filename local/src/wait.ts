// Waits until nodes and deployments are ready, telling what is still missing.
import { setTimeout as sleep } from 'node:timers/promises';
import { getJson } from './controlplane/apirequest.ts';
import type { ApiClient } from './controlplane/apirequest.ts';
import { announce } from './progress.ts';

interface Condition { readonly type: string; readonly status: string; readonly reason?: string; readonly message?: string }
interface Conditioned { readonly metadata: { readonly name: string }; readonly status?: { readonly conditions?: readonly Condition[] } }
interface Container {
  readonly name: string;
  readonly restartCount?: number;
  readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string }; readonly terminated?: { readonly exitCode: number } };
}
interface Pod extends Conditioned {
  readonly status?: { readonly phase?: string; readonly conditions?: readonly Condition[]; readonly containerStatuses?: readonly Container[] };
}

const pollMs = 250;

/** Undefined when the condition holds; else why it does not. */
const missing = (object: Conditioned, type: string): string | undefined => {
  const condition = object.status?.conditions?.find((one) => one.type === type);
  if (condition?.status === 'True') return undefined;
  return condition === undefined ? `has no condition ${type} yet` : `${type}=${condition.status} ${condition.reason ?? ''} ${condition.message ?? ''}`.trim();
};

/** Polls `check` until it returns undefined; throws with its last answer after `timeoutMs`. */
const waitFor = async (what: string, timeoutMs: number, check: () => Promise<string | undefined>): Promise<void> => {
  let last: string | undefined;
  const done = announce(`waiting for ${what}`, () => last ?? '');
  const deadline = Date.now() + timeoutMs;
  try {
    for (;;) {
      last = await check().catch((error: Error) => error.message);
      if (last === undefined) return;
      if (Date.now() > deadline) throw new Error(`${what}: not reached within ${timeoutMs / 1000} s: ${last}`);
      await sleep(pollMs);
    }
  } finally {
    done();
  }
};

/** Waits until the node says Ready. */
export const waitForNode = (client: ApiClient, name: string, timeoutMs: number): Promise<void> =>
  waitFor(`node ${name} to be Ready`, timeoutMs, async () => {
    const node = await getJson<Conditioned>(client, `/api/v1/nodes/${name}`);
    return node === undefined ? 'its agent has not registered it yet' : missing(node, 'Ready');
  });

const containerTrouble = ({ name, state, restartCount }: Container): string => {
  if (state?.waiting !== undefined) return `container ${name}: ${state.waiting.reason ?? 'waiting'} ${state.waiting.message ?? ''}`.trim();
  return `container ${name}: ended with exit code ${state?.terminated?.exitCode ?? '?'}, restarted ${restartCount ?? 0} times`;
};

const podTrouble = (pod: Pod): string => {
  const stuck = pod.status?.containerStatuses?.find((one) => one.state?.waiting ?? one.state?.terminated);
  const why = stuck === undefined ? missing(pod, 'PodScheduled') ?? missing(pod, 'Ready') : containerTrouble(stuck);
  return `pod ${pod.metadata.name} ${pod.status?.phase ?? ''}: ${why ?? 'is ready'}`;
};

/** Waits until every Deployment of `namespace` is Available; returns at once when there is none. */
export const waitForDeployments = async (client: ApiClient, namespace: string, timeoutMs: number): Promise<void> => {
  const list = await getJson<{ items: Conditioned[] }>(client, `/apis/apps/v1/namespaces/${namespace}/deployments`);
  for (const { metadata: { name } } of list?.items ?? []) {
    await waitFor(`deployment ${name} in ${namespace} to be Available`, timeoutMs, async () => {
      const deployment = await getJson<Conditioned>(client, `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`);
      const why = deployment === undefined ? 'it is gone' : missing(deployment, 'Available');
      if (why === undefined) return undefined;
      const pods = await getJson<{ items: Pod[] }>(client, `/api/v1/namespaces/${namespace}/pods`);
      const live = (pods?.items ?? []).filter(({ status }) => status?.phase !== 'Failed' && status?.phase !== 'Succeeded');
      return live.map(podTrouble).join('; ') || why;
    });
  }
};

/** Waits until the Job is Complete; throws with its message when it failed. */
export const waitForJob = (client: ApiClient, { namespace, name }: { readonly namespace: string; readonly name: string }, timeoutMs: number): Promise<void> =>
  waitFor(`job ${name} in ${namespace} to be Complete`, timeoutMs, async () => {
    const job = await getJson<Conditioned>(client, `/apis/batch/v1/namespaces/${namespace}/jobs/${name}`);
    if (job === undefined) return 'it is gone';
    const failed = job.status?.conditions?.find(({ type, status }) => type === 'Failed' && status === 'True');
    return failed === undefined ? missing(job, 'Complete') : `it failed: ${failed.message ?? failed.reason ?? ''}`;
  });
