// What the pods of an attempt show: how many run, and what keeps the others from it.
import { LABEL_COMPLETION_INDEX, TRAINER_CONTAINER } from '../api/labels.ts';
import type { Reason } from '../api/reasons.ts';
import { isTrue } from './objects.ts';
import type { ContainerState, Pod } from './objects.ts';

export interface Obstacle {
  readonly reason: Reason;
  readonly message: string;
}

const IMAGE_REASONS = new Set(['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull', 'ImageInspectError', 'RegistryUnavailable']);
const START_REASONS = new Set(['CreateContainerConfigError', 'CreateContainerError', 'RunContainerError', 'StartError', 'CrashLoopBackOff', 'CreatePodSandboxError']);

/** Completion index of a worker; -1 when the pod has none. */
export function indexOf(pod: Pod): number {
  const index = Number(pod.metadata.labels?.[LABEL_COMPLETION_INDEX] ?? pod.metadata.annotations?.[LABEL_COMPLETION_INDEX]);
  return Number.isSafeInteger(index) && index >= 0 ? index : -1;
}

export function hasEnded(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

export function isReady(pod: Pod): boolean {
  return pod.status?.phase === 'Running' && isTrue(pod.status.conditions, 'Ready') !== undefined;
}

/** The trainer's process has run, or runs. */
export function hasStarted(pod: Pod): boolean {
  const state = trainerState(pod);
  return state?.running !== undefined || state?.terminated !== undefined || hasEnded(pod);
}

export function trainerState(pod: Pod): ContainerState | undefined {
  return pod.status?.containerStatuses?.find((status) => status.name === TRAINER_CONTAINER)?.state;
}

/** The first thing, in worker order, that keeps a worker from starting; undefined when nothing does. */
export function obstacleOf(pods: readonly Pod[]): Obstacle | undefined {
  const inOrder = pods.filter((pod) => !hasStarted(pod)).sort((a, b) => indexOf(a) - indexOf(b));
  for (const pod of inOrder) {
    const obstacle = notStarting(pod) ?? unscheduled(pod);
    if (obstacle !== undefined) return { reason: obstacle.reason, message: `worker ${indexOf(pod)} (pod ${pod.metadata.name}): ${obstacle.message}` };
  }
  return undefined;
}

function unscheduled(pod: Pod): Obstacle | undefined {
  const scheduled = pod.status?.conditions?.find((condition) => condition.type === 'PodScheduled');
  if (scheduled?.status !== 'False' || scheduled.reason !== 'Unschedulable') return undefined;
  return { reason: 'Unschedulable', message: scheduled.message ?? 'no node fits' };
}

function notStarting(pod: Pod): Obstacle | undefined {
  const waiting = trainerState(pod)?.waiting;
  const why = waiting?.reason ?? '';
  const message = waiting?.message === undefined ? why : `${why}: ${waiting.message}`;
  if (IMAGE_REASONS.has(why)) return { reason: 'ImagePullFailed', message };
  return START_REASONS.has(why) ? { reason: 'ContainerStartFailed', message } : undefined;
}

/** What the worker with that index said when it ended. */
export function saidByWorker(pods: readonly Pod[], index: number): string | undefined {
  const pod = pods.find((one) => indexOf(one) === index);
  return pod === undefined ? undefined : saidBy(pod);
}

/** The message in a pod's termination message; launchers write JSON, anything else is taken as it is. */
export function saidBy(pod: Pod): string | undefined {
  const text = trainerState(pod)?.terminated?.message?.trim() ?? '';
  const said = messageIn(text) ?? text;
  return said === '' ? undefined : said;
}

/** Step of the newest checkpoint that a worker told of when it ended well. */
export function lastCheckpointSaid(pods: readonly Pod[]): number | undefined {
  const ended = pods.filter((pod) => pod.status?.phase === 'Succeeded');
  const steps = ended.map((pod) => parsed(trainerState(pod)?.terminated?.message ?? '')?.latest?.step).filter((step) => typeof step === 'number');
  return steps.length === 0 ? undefined : Math.max(...steps);
}

function messageIn(text: string): string | undefined {
  const message = parsed(text)?.message;
  return typeof message === 'string' ? message : undefined;
}

function parsed(text: string): { readonly message?: unknown; readonly latest?: { readonly step?: unknown } | null } | null {
  try {
    return JSON.parse(text) as ReturnType<typeof parsed>;
  } catch {
    // Not JSON, as when the process was killed while writing.
    return null;
  }
}
