// The peer's memory beside as many of its jobs, each with its JobSet, Service, Job and pod.
import { JOBS, PODS, SERVICES } from '../../operator/src/run/objects.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { create, list } from '../../operator/src/runtime/verbs.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { fill } from './fill.ts';
import type { Family } from './fill.ts';
import { SAMPLE } from './memory.ts';
import { JOB_SETS, TRAIN_JOBS, installPeer, peerRun, startPeer } from './peer.ts';
import type { Peer } from './peer.ts';
import { until } from './process.ts';
import { NAMESPACE, nodesAreReady } from './world.ts';
import type { World } from './world.ts';

const MEMBERS: readonly Resource[] = [TRAIN_JOBS, JOB_SETS, SERVICES, JOBS, PODS];

const cpuOf = ({ processes }: Peer): number => processes.reduce((sum, one) => sum + one.cpuSeconds(), 0);

/** Waits until both processes have used less than a twentieth of a core for three seconds. */
const atRest = async (peer: Peer): Promise<void> => {
  for (let [quiet, last] = [0, cpuOf(peer)]; quiet < 3;) {
    await sleep(1000);
    const now = cpuOf(peer);
    quiet = now - last < 0.05 ? quiet + 1 : 0;
    last = now;
  }
};

const samplePeer = async (world: World): Promise<Family> => {
  const others = [await world.startControllers(), await world.startScheduler(), await world.startKwok()];
  await until('kwok made the nodes ready', () => nodesAreReady(world));
  const peer = await startPeer(world);
  await create(world.client, TRAIN_JOBS, peerRun(SAMPLE));
  const pods = async (): Promise<readonly (KubeObject & { status?: { phase?: string } })[]> => (await list<KubeObject>(world.client, PODS, { namespace: NAMESPACE })).items;
  await until("the peer's sample is running", async () => (await pods()).some(({ status }) => status?.phase === 'Running'));
  await atRest(peer);
  await peer.stop();
  await Promise.all(others.map((one) => one.stop()));
  const family = [];
  for (const resource of MEMBERS) family.push(...(await list(world.client, resource, { namespace: NAMESPACE })).items.map((sample) => ({ resource, sample })));
  if (family.length !== MEMBERS.length) throw new Error(`the peer's sample has ${family.length} objects, expected ${MEMBERS.length}`);
  return family;
};

/** Resident MiB of both processes once they are at rest beside so many jobs. */
export const measurePeerMemory = async (world: World, count: number, tell: (text: string) => void): Promise<Readonly<Record<string, number>>> => {
  await installPeer(world);
  const family = await samplePeer(world);
  await fill(world.client, family, { from: 0, to: count - 1 });
  tell(`${count} jobs of the peer are there`);
  const peer = await startPeer(world);
  await atRest(peer);
  const rss = Object.fromEntries(peer.processes.map((one) => [one.name, one.rssMib()]));
  await peer.stop();
  return rss;
};
