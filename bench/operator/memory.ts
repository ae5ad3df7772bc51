// Memory, cold start, rest and growth: the operator started beside 100, 1,000 and 10,000 runs, each with a full status, one Job and one pod.
import { LABEL_RUN_UID } from '../../operator/src/api/labels.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { CONFIG_MAPS, JOBS, PODS, SERVICES } from '../../operator/src/run/objects.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import { create, get, list } from '../../operator/src/runtime/verbs.ts';
import { fill } from './fill.ts';
import type { Family } from './fill.ts';
import { reportedStatus } from './fullStatus.ts';
import { ourRun, startOurs } from './ours.ts';
import type { OurOperator } from './ours.ts';
import { until } from './process.ts';
import { sumOf } from './scrape.ts';
import type { Samples } from './scrape.ts';
import { NAMESPACE, nodesAreReady } from './world.ts';
import type { World } from './world.ts';

export interface Level {
  readonly runs: number;
  /** From the start of the process to the first reconcile: every cache holds a full list and the operator leads. */
  readonly coldSyncSeconds: number;
  /** Until every run was reconciled. */
  readonly settledSeconds: number;
  readonly cpuSeconds: number;
  readonly rssMib: number;
  readonly peakMib: number;
  readonly writes: number;
}

export const SAMPLE = 'sample';
// Metrics of thousands of runs are not for free either: asked for at every turn they were a third of what was measured.
const LOOK_MS = 250;

/** One run brought to rest by the operator and real controllers, then given a full status. */
export const sampleFamily = async (world: World): Promise<Family> => {
  const { client } = world;
  const others = [await world.startControllers(), await world.startScheduler(), await world.startKwok()];
  await until('kwok made the nodes ready', () => nodesAreReady(world));
  const operator = await startOurs(world);
  const run = RUN_RESOURCES.PolarPretrain;
  await create(client, run, ourRun(SAMPLE));
  const stored = async (): Promise<KubeObject & { status?: { phase?: string; workers?: string } }> => (await get(client, run, { namespace: NAMESPACE, name: SAMPLE })) as KubeObject;
  await until('the sample run is running', async () => (await stored()).status?.workers === '1/1');
  await client.request('PATCH', pathOf(run, { namespace: NAMESPACE, name: SAMPLE, subresource: 'status' }), { body: { status: reportedStatus() }, contentType: 'application/merge-patch+json', query: { fieldManager: 'polar-ingest' } });
  await settled(operator);
  await operator.stop();
  await Promise.all(others.map((one) => one.stop()));
  const uid = (await stored()).metadata.uid ?? '';
  const members: { resource: Resource; sample: KubeObject }[] = [{ resource: run, sample: await stored() }];
  for (const resource of [CONFIG_MAPS, SERVICES, JOBS, PODS]) {
    const { items } = await list(client, resource, { namespace: NAMESPACE, labelSelector: `${LABEL_RUN_UID}=${uid}` });
    members.push(...items.map((sample) => ({ resource, sample })));
  }
  if (members.length !== 5) throw new Error(`the sample has ${members.length} objects, expected 5`);
  return members;
};

const reconciles = (samples: Samples): number => sumOf(samples, 'controller_runtime_reconcile_total');

/** Waits until no reconcile has happened for two seconds; returns how long ago, in seconds, the last one was at most. */
export const settled = async (operator: Pick<OurOperator, 'samples'>): Promise<void> => {
  let [last, since] = [-1, Date.now()];
  await until('the operator is at rest', async () => {
    const now = reconciles(await operator.samples());
    if (now !== last) [last, since] = [now, Date.now()];
    return Date.now() - since > 2000;
  }, 300_000, LOOK_MS);
};

/** Writes by anyone to what is not a lease, as the API server counts them. */
export const writesSeen = async (world: World): Promise<number> => {
  const writes = new Set(['POST', 'PUT', 'PATCH', 'APPLY', 'DELETE']);
  return sumOf(await world.apiSamples(), 'apiserver_request_total', ({ verb = '', resource, dry_run: dry = '' }) => writes.has(verb) && resource !== 'leases' && resource !== 'tokenreviews' && dry === '');
};

/** Starts an operator beside what is there, until it is at rest. */
export const startBeside = async (world: World, runs: number): Promise<{ level: Level; operator: OurOperator }> => {
  const before = await writesSeen(world);
  const startedAt = Date.now();
  const operator = await startOurs(world);
  const first = async (): Promise<boolean> => reconciles(await operator.samples()) > 0;
  await until('the first reconcile', async () => runs === 0 || first(), 300_000, LOOK_MS);
  const coldSyncSeconds = (Date.now() - startedAt) / 1000;
  await settled(operator);
  const settledSeconds = (Date.now() - startedAt) / 1000 - 2;
  const writes = (await writesSeen(world)) - before;
  return { operator, level: { runs, coldSyncSeconds, settledSeconds, cpuSeconds: operator.cpuSeconds(), rssMib: operator.rssMib(), peakMib: operator.peakMib(), writes } };
};

/** Fills the cluster up to each level in turn and starts an operator beside it; the last one stays. */
export const measureLevels = async (world: World, family: Family, counts: readonly number[], tell: (text: string) => void): Promise<{ levels: readonly Level[]; operator: OurOperator }> => {
  const empty = await startBeside(world, 0);
  await empty.operator.stop();
  const levels: Level[] = [empty.level];
  let operator = empty.operator;
  let from = 0;
  for (const count of counts) {
    const startedAt = Date.now();
    await fill(world.client, family, { from, to: count - 1 });
    tell(`${count} runs are there after ${Math.round((Date.now() - startedAt) / 1000)} s`);
    from = count - 1;
    const beside = await startBeside(world, count);
    operator = beside.operator;
    levels.push(beside.level);
    tell(JSON.stringify(beside.level));
    if (count !== counts.at(-1)) await operator.stop();
  }
  return { levels, operator };
};
