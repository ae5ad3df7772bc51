// The one process behind `up`: parent of every component. It ends them all on SIGTERM, and the kernel does when it is
// killed. Until `up` says "keep" over the IPC channel, losing `up` also ends the cluster.
import type { ControlPlane } from './controlplane/start.ts';
import { startControlPlane } from './controlplane/start.ts';
import type { ComponentState, SupervisedProcess } from './controlplane/supervised.ts';
import { startNode } from './nodes.ts';
import { clusterPaths } from './paths.ts';
import { identify, isAlive } from './process.ts';
import { readConfig, writeState } from './state.ts';
import type { ClusterConfig, Phase } from './state.ts';

const paths = clusterPaths(process.argv[2] ?? '');
const own = identify(process.pid) ?? { pid: process.pid, startTime: '' };

let plane: ControlPlane | undefined;
let early: ComponentState[] = [];
const nodes: SupervisedProcess[] = [];
let phase: Phase = 'starting';
let message = 'starting';
let kept = false;

const publish = (): void => {
  const processes = [...(plane?.states() ?? early), ...nodes.map((node) => node.state)];
  writeState(paths, { supervisor: own, phase, message, server: plane?.server ?? '', processes });
};

const enter = (next: Phase, what: string): void => {
  [phase, message] = [next, what];
  console.log(`${new Date().toISOString()} ${next}: ${what}`);
  publish();
};

const onChange = (state: ComponentState, died: boolean): void => {
  early = [...early.filter((one) => one.name !== state.name), state];
  const what = died ? `died (${state.lastExit ?? ''}); it is restarted` : `started as process ${state.process?.pid ?? '?'}, restart ${state.restarts}`;
  console.log(`${new Date().toISOString()} ${state.name} ${what}`);
  publish();
};

const stop = async (why: string): Promise<void> => {
  if (phase === 'stopping') return;
  // While the control plane is starting there is nothing to save: the kernel ends its processes with this one.
  if (plane === undefined) process.exit(1);
  enter('stopping', `${why}: ending pods and node agents`);
  await Promise.all(nodes.map((node) => node.stop()));
  enter('stopping', `${why}: ending the control plane`);
  await plane.stop();
  process.exit(0);
};

const start = async (config: ClusterConfig): Promise<void> => {
  enter('starting', 'etcd and the API server are starting');
  plane = await startControlPlane({ dir: paths.dir, restart: true, audit: config.audit, onChange });
  enter('starting', 'node agents are starting');
  for (const node of config.nodes) nodes.push(await startNode(plane, node, onChange));
  enter('running', 'all components have been started');
};

process.on('SIGTERM', () => void stop('asked to stop'));
process.on('SIGINT', () => void stop('asked to stop'));
process.on('message', (text) => {
  kept ||= text === 'keep';
});
process.on('disconnect', () => {
  if (!kept) void stop('the command that started the cluster ended early');
});

try {
  const config = readConfig(paths);
  if (config === undefined) throw new Error(`${paths.config}: not found`);
  const { owner } = config;
  setInterval(() => {
    if (owner !== undefined && !isAlive(owner)) void stop(`process ${owner.pid}, which the cluster was to serve, ended`);
  }, 500);
  await start(config);
} catch (error) {
  enter('failed', (error as Error).message);
  process.exit(1);
}
