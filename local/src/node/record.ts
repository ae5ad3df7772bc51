// What the agent knows of a container when it first meets it: nothing, or what an agent before it told the API server.
import type { Container, ContainerState, ContainerStatus } from './objects.ts';
import type { ContainerRecord } from './status.ts';

const AGENT_RESTARTED = 'the node agent stopped while this container ran, and the container with it';

/** A process does not outlive its agent, so a container last seen running was killed. */
const interrupted = (status: ContainerStatus, now: string): ContainerState => ({
  terminated: {
    exitCode: 137, reason: 'Error', message: AGENT_RESTARTED, containerID: status.containerID ?? '',
    startedAt: status.state?.running?.startedAt ?? now, finishedAt: now,
  },
});

const stateOf = (status: ContainerStatus, now: string): ContainerState | undefined => {
  const { state, lastState } = status;
  if (state?.terminated) return state;
  if (state?.running) return interrupted(status, now);
  return lastState?.terminated ? lastState : undefined;
};

/** The record to start from. `waitingFor` is the reason shown for a container that never ran. */
export const initialRecord = (container: Container, status: ContainerStatus | undefined, waitingFor: string, now: string): ContainerRecord => {
  const fresh = { name: container.name, image: container.image ?? '', ready: false, started: false };
  const state = status && stateOf(status, now);
  if (!status || !state) return { ...fresh, state: { waiting: { reason: waitingFor } }, restartCount: 0 };
  return {
    ...fresh, state, restartCount: status.restartCount,
    ...(status.lastState?.terminated && { lastState: status.lastState }), ...(status.containerID && { containerID: status.containerID }),
  };
};
