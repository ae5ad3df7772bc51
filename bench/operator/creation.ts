// Creation side by side, in turns on one cluster: ours, the peer, ours, the peer; and what each API write costs.
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { measureCreation } from './create.ts';
import type { Created } from './create.ts';
import { measureDeployments } from './deployments.ts';
import type { Cost } from './deployments.ts';
import { ourRun, startOurs } from './ours.ts';
import { TRAIN_JOBS, installPeer, peerRun, startPeer } from './peer.ts';
import type { Measured } from './process.ts';
import { requestsOf, writesOf } from './scrape.ts';
import type { Samples } from './scrape.ts';
import type { World } from './world.ts';

export interface Side {
  readonly created: readonly Created[];
  readonly perSecond: number;
  readonly cost: Cost;
  readonly writesPerRun: number;
  readonly requestsPerRun: number;
  /** Of the API server and etcd while this side worked. */
  readonly serverCpuSecondsPerRun: number;
}

interface Contender {
  readonly processes: readonly Measured[];
  readonly samples: () => Promise<Samples>;
  readonly stop: () => Promise<void>;
}

interface Turn {
  readonly created: Created;
  readonly cpuSeconds: number;
  readonly writes: number;
  readonly requests: number;
  readonly serverCpuSeconds: number;
}

export interface CreationPlan {
  /** Runs of each turn. */
  readonly count: number;
  readonly rounds: number;
  readonly withPeer: boolean;
}

export interface Creation {
  readonly ours: Side;
  readonly peer: Side | undefined;
  /** Ours over the peer's, turn by turn. */
  readonly ratios: readonly number[];
  readonly deployments: Cost;
}

const WINDOW = 200;
const WARM_UP = 50;

/** Takes the turns. Throws when a Job does not come. */
export const measureCreations = async (world: World, plan: CreationPlan, tell: (text: string) => void): Promise<Creation> => {
  if (plan.withPeer) await installPeer(world);
  const [ours, peers]: [Turn[], Turn[]] = [[], []];
  for (let round = 0; round < plan.rounds; round++) {
    const operator = await startOurs(world);
    ours.push(await turn(world, { ...operator, processes: [operator] }, { resource: RUN_RESOURCES.PolarPretrain, objectOf: (index) => ourRun(`ours-${round}-${index}`) }, plan.count));
    tell(`ours: ${ours.at(-1)?.created.perSecond.toFixed(1)} per second`);
    if (!plan.withPeer) continue;
    peers.push(await turn(world, await startPeer(world), { resource: TRAIN_JOBS, objectOf: (index) => peerRun(`peer-${round}-${index}`) }, plan.count));
    tell(`peer: ${peers.at(-1)?.created.perSecond.toFixed(1)} per second`);
  }
  const ratios = ours.flatMap(({ created }, index) => (peers[index] === undefined ? [] : [created.perSecond / peers[index].created.perSecond]));
  return { ours: sideOf(ours), peer: plan.withPeer ? sideOf(peers) : undefined, ratios, deployments: await measureDeployments(world, Math.min(plan.count, 500)) };
};

const cpuOf = (processes: readonly Measured[]): number => processes.reduce((sum, one) => sum + one.cpuSeconds(), 0);

const turn = async (world: World, contender: Contender, work: { readonly resource: Resource; readonly objectOf: (index: number) => KubeObject }, count: number): Promise<Turn> => {
  const options = { client: world.client, ...work, window: WINDOW, timeoutMs: 600_000 };
  await measureCreation({ ...options, objectOf: (index) => named(work.objectOf(index), '-warm'), count: Math.min(WARM_UP, count) });
  const before = await contender.samples();
  const [cpu, servers] = [cpuOf(contender.processes), cpuOf(world.servers)];
  const created = await measureCreation({ ...options, count });
  const [cpuSeconds, serverCpuSeconds] = [cpuOf(contender.processes) - cpu, cpuOf(world.servers) - servers];
  const after = await contender.samples();
  await contender.stop();
  return { created, cpuSeconds, serverCpuSeconds, writes: writesOf(after) - writesOf(before), requests: requestsOf(after) - requestsOf(before) };
};

const named = (object: KubeObject, suffix: string): KubeObject => ({ ...object, metadata: { ...object.metadata, name: object.metadata.name + suffix } });

const sum = (turns: readonly Turn[], of: (turn: Turn) => number): number => turns.reduce((total, one) => total + of(one), 0);

const sideOf = (turns: readonly Turn[]): Side => {
  const [runs, seconds] = [sum(turns, ({ created }) => created.count), sum(turns, ({ created }) => created.seconds)];
  const [cpuSeconds, writes] = [sum(turns, (one) => one.cpuSeconds), sum(turns, (one) => one.writes)];
  return {
    created: turns.map(({ created }) => created), perSecond: runs / seconds, cost: { cpuSeconds, writes, cpuSecondsPerWrite: cpuSeconds / writes },
    writesPerRun: writes / runs, requestsPerRun: sum(turns, (one) => one.requests) / runs, serverCpuSecondsPerRun: sum(turns, (one) => one.serverCpuSeconds) / runs,
  };
};
