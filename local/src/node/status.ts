// What the API server is told about a pod: container records in, PodStatus out. Pure; follows the kubelet's own rules.
import type { ContainerState, ContainerStatus, Pod, PodCondition, PodStatus } from './objects.ts';

/** What the agent knows of one container. `state` has exactly one of waiting, running, terminated. */
export interface ContainerRecord {
  readonly name: string;
  readonly image: string;
  readonly state: ContainerState;
  readonly lastState?: ContainerState;
  readonly restartCount: number;
  readonly ready: boolean;
  readonly started: boolean;
  readonly containerID?: string;
}

export interface PodFacts {
  readonly podIP?: string;
  readonly hostIP: string;
  readonly startTime: string;
  readonly now: string;
  readonly sandboxReady: boolean;
  /** No container will run again, whatever the restart policy says. */
  readonly stopped: boolean;
  readonly reason?: string;
  readonly message?: string;
}

type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

const exitOf = (record: ContainerRecord): number | undefined => record.state.terminated?.exitCode;
const succeeded = (record: ContainerRecord): boolean => exitOf(record) === 0;
const failed = (record: ContainerRecord): boolean => (exitOf(record) ?? 0) !== 0;
const hasStarted = (record: ContainerRecord): boolean => Boolean(record.state.running ?? record.state.terminated ?? record.lastState?.terminated);

const isSidecar = (pod: Pod, name: string): boolean => pod.spec.initContainers?.find((c) => c.name === name)?.restartPolicy === 'Always';

/** True once every init container has done its part: exited 0, or for a sidecar started. */
export const isInitialized = (pod: Pod, init: readonly ContainerRecord[]): boolean =>
  init.every((record) => (isSidecar(pod, record.name) ? record.started || succeeded(record) : succeeded(record)));

const phaseWhenEnded = (policy: string, good: boolean): Phase => {
  if (policy === 'Always') return 'Running';
  if (good) return 'Succeeded';
  return policy === 'Never' ? 'Failed' : 'Running';
};

/** The pod's phase by the kubelet's rules. `stopped` makes the outcome final even under restartPolicy Always. */
export const phaseOf = (pod: Pod, init: readonly ContainerRecord[], main: readonly ContainerRecord[], stopped: boolean): Phase => {
  const policy = pod.spec.restartPolicy ?? 'Always';
  if (stopped) return [...init.filter((record) => !isSidecar(pod, record.name)), ...main].every(succeeded) ? 'Succeeded' : 'Failed';
  if (!isInitialized(pod, init) && !main.some(hasStarted)) return policy === 'Never' && init.some(failed) ? 'Failed' : 'Pending';
  if (main.every((record) => record.state.terminated)) return phaseWhenEnded(policy, main.every(succeeded));
  return main.some((record) => record.state.waiting && !hasStarted(record)) ? 'Pending' : 'Running';
};

interface Verdict { readonly type: string; readonly ok: boolean; readonly reason?: string; readonly message?: string }

const readiness = (phase: Phase, main: readonly ContainerRecord[]): Omit<Verdict, 'type'> => {
  if (phase === 'Succeeded') return { ok: false, reason: 'PodCompleted' };
  if (phase === 'Failed') return { ok: false, reason: 'PodFailed' };
  const unready = main.filter((record) => !record.ready).map((record) => record.name);
  if (unready.length === 0) return { ok: true };
  return { ok: false, reason: 'ContainersNotReady', message: `containers with unready status: [${unready.join(' ')}]` };
};

const initialization = (pod: Pod, phase: Phase, init: readonly ContainerRecord[]): Omit<Verdict, 'type'> => {
  if (phase === 'Succeeded') return { ok: true, reason: 'PodCompleted' };
  const waiting = init.filter((record) => !isInitialized(pod, [record])).map((record) => record.name);
  if (waiting.length === 0) return { ok: true };
  return { ok: false, reason: 'ContainersNotInitialized', message: `containers with incomplete status: [${waiting.join(' ')}]` };
};

const toCondition = (verdict: Verdict, before: readonly PodCondition[], now: string): PodCondition => {
  const status = verdict.ok ? 'True' : 'False';
  const old = before.find((condition) => condition.type === verdict.type);
  const at = old?.status === status && old.lastTransitionTime ? old.lastTransitionTime : now;
  return {
    type: verdict.type, status, lastTransitionTime: at,
    // null removes what an earlier patch set
    reason: verdict.reason ?? null, message: verdict.message ?? null,
  } as unknown as PodCondition;
};

const toContainerStatus = (record: ContainerRecord): ContainerStatus => ({
  name: record.name,
  image: record.image,
  imageID: record.containerID === undefined ? '' : `host://${record.image}`,
  containerID: record.containerID ?? '',
  state: record.state,
  lastState: record.lastState ?? {},
  restartCount: record.restartCount,
  ready: record.ready,
  started: record.started,
});

/** The status to patch. Conditions the node does not own (such as DisruptionTarget) are not in it, so a strategic merge keeps them. */
export const podStatus = (pod: Pod, init: readonly ContainerRecord[], main: readonly ContainerRecord[], facts: PodFacts): PodStatus => {
  const phase = phaseOf(pod, init, main, facts.stopped);
  const ready = readiness(phase, main);
  const verdicts: Verdict[] = [
    { type: 'PodReadyToStartContainers', ok: facts.sandboxReady },
    { type: 'Initialized', ...initialization(pod, phase, init) },
    { type: 'Ready', ...ready },
    { type: 'ContainersReady', ...ready },
    { type: 'PodScheduled', ok: true },
  ];
  return {
    phase,
    conditions: verdicts.map((verdict) => toCondition(verdict, pod.status?.conditions ?? [], facts.now)),
    hostIP: facts.hostIP,
    hostIPs: [{ ip: facts.hostIP }],
    ...(facts.podIP !== undefined && { podIP: facts.podIP, podIPs: [{ ip: facts.podIP }] }),
    startTime: facts.startTime,
    ...(init.length > 0 && { initContainerStatuses: init.map(toContainerStatus) }),
    containerStatuses: main.map(toContainerStatus),
    ...(facts.reason !== undefined && { reason: facts.reason }),
    ...(facts.message !== undefined && { message: facts.message }),
  };
};
