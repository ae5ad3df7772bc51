// Short lives of runs, each a few seconds. Faults are put into them; without faults each always ends in the same state.
import { setTimeout as sleep } from 'node:timers/promises';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { JOBS, isTrue } from '../../operator/src/run/objects.ts';
import { FOREIGN } from './foreign.ts';
import { HOSTILE } from './hostile.ts';
import { TELLING } from './lies.ts';
import type { End, Script } from './kubelet.ts';
import { STORED } from './stored.ts';
import type { World } from './world.ts';

export interface Workload {
  readonly name: string;
  readonly script: Script;
  /** Its trainers report to the operator. */
  readonly reports?: boolean;
  /** Waits for what a person would wait for, and resolves when nothing more is asked for. */
  readonly run: (world: World) => Promise<void>;
}

const forever = new Promise<End>(() => undefined);
const after = (ms: number, end: End): Promise<End> => sleep(ms, end);
const said = (message: string, extra: object = {}): string => JSON.stringify({ ...extra, message });
const done: End = { code: 0, message: said('trained 500 steps', { reason: 'Completed' }) };
const TRAINING_MS = 250;

/** The first attempt ends as told, every later one completes. */
const firstEnds = (first: (index: number) => Promise<End>): Script => ({ attempt, index }) => (attempt === 1 ? first(index) : after(TRAINING_MS, done));

async function created(world: World, spec: object = {}): Promise<void> {
  await world.claims();
  const { metadata } = await world.pretrain('demo', spec);
  await world.mark('created', Number(metadata.resourceVersion));
}

async function running(world: World, spec: object = {}): Promise<void> {
  await created(world, spec);
  await world.untilRunning(1);
  await world.mark('running');
}

async function complete(world: World): Promise<void> {
  await world.untilTrue('demo', 'Complete');
  await world.mark('complete');
}

const LIVES: readonly Workload[] = [
  {
    name: 'complete',
    script: () => after(TRAINING_MS, done),
    run: async (world: World): Promise<void> => {
      await created(world);
      await complete(world);
    },
  },
  {
    name: 'crash',
    script: firstEnds((index) => (index === 1 ? after(TRAINING_MS, { code: 1, message: said('boom') }) : forever)),
    run: async (world: World): Promise<void> => {
      await created(world);
      await complete(world);
    },
  },
  {
    name: 'fatal',
    script: firstEnds((index) => (index === 0 ? after(TRAINING_MS, { code: 11, message: said('pool/a.jsonl:17: expected a string') }) : forever)),
    run: async (world: World): Promise<void> => {
      await created(world);
      await world.untilTrue('demo', 'Failed');
      await world.mark('failed');
    },
  },
  {
    name: 'suspend',
    script: firstEnds(() => forever),
    run: async (world: World): Promise<void> => {
      await running(world);
      await world.patch('demo', { suspend: true });
      await world.untilTrue('demo', 'Suspended');
      await world.until('no worker is left', () => (world.pods().length === 0 ? true : undefined));
      await world.mark('suspended');
      await world.mark('resumed', await world.patch('demo', { suspend: false }));
      await complete(world);
    },
  },
  {
    name: 'edit',
    script: ({ attempt }) => (attempt === 1 ? after(1500, done) : after(TRAINING_MS, done)),
    run: async (world: World): Promise<void> => {
      await running(world);
      await world.mark('edited', await world.patch('demo', { recovery: { maxRestarts: 7 } }));
      await world.patch('demo', { recovery: { maxRestarts: 3 } });
      await complete(world);
    },
  },
  {
    name: 'delete',
    script: () => forever,
    run: async (world: World): Promise<void> => {
      await running(world);
      await world.removeRun('demo');
      await world.mark('deleted');
      await world.until('nothing is left', () => (world.run('demo') === undefined && world.children().length === 0 ? true : undefined));
    },
  },
  {
    name: 'leave',
    script: () => forever,
    run: async (world: World): Promise<void> => {
      await running(world);
      // Somebody else's finalizer: the run is being deleted and is still there.
      await world.change(RUN_RESOURCES.PolarPretrain, 'demo', { metadata: { finalizers: ['example.com/hold'] } });
      await world.removeRun('demo');
      await world.mark('deleted');
      await world.remove(JOBS, 'demo-pretrain-1');
      await sleep(1500);
      await world.mark('leaving');
      await world.change(RUN_RESOURCES.PolarPretrain, 'demo', { metadata: { finalizers: null } });
      await world.until('nothing is left', () => (world.run('demo') === undefined && world.children().length === 0 ? true : undefined));
    },
  },
  {
    name: 'namespace',
    script: () => forever,
    run: async (world: World): Promise<void> => {
      await running(world);
      await world.admin.request('DELETE', `/api/v1/namespaces/${world.namespace}`);
      await world.mark('deleted');
      await world.until('nothing is left', () => (world.run('demo') === undefined && world.children().length === 0 ? true : undefined));
    },
  },
  {
    name: 'refused',
    script: () => forever,
    run: async (world: World): Promise<void> => {
      await created(world);
      await sleep(5000);
    },
  },
  {
    name: 'recreate',
    script: () => after(900, done),
    run: async (world: World): Promise<void> => {
      await running(world);
      await world.removeRun('demo');
      await world.until('the run is gone', () => (world.run('demo') === undefined ? true : undefined));
      await world.mark('deleted');
      await world.pretrain('demo');
      await world.mark('recreated');
      await complete(world);
    },
  },
  {
    name: 'disrupt',
    script: firstEnds((index) => (index === 0 ? after(TRAINING_MS, { code: 143, isDisrupted: true }) : forever)),
    run: async (world: World): Promise<void> => {
      await created(world);
      await complete(world);
    },
  },
  {
    name: 'finetune',
    script: () => after(TRAINING_MS, done),
    run: async (world: World): Promise<void> => {
      await created(world);
      await world.finetune('tuned', 'demo');
      await complete(world);
      await world.reportCheckpoint('demo', 500);
      await world.mark('checkpointed');
      await world.untilTrue('tuned', 'Complete', 'PolarFinetune');
    },
  },
  {
    name: 'steady',
    script: ({ attempt }) => after(attempt === 1 ? 2500 : TRAINING_MS, done),
    run: async (world: World): Promise<void> => {
      await running(world);
      await complete(world);
    },
  },
  {
    name: 'extend',
    script: () => after(TRAINING_MS, done),
    run: async (world: World): Promise<void> => {
      await created(world);
      await complete(world);
      await world.reportCheckpoint('demo', 500);
      await world.mark('checkpointed');
      await world.mark('raised', await world.patch('demo', { budget: { steps: 800 } }));
      await world.untilRun('demo', 'attempt 2 of demo is Complete', ({ status }) => status?.attempt === 2 && isTrue(status.conditions, 'Complete') !== undefined);
      await world.mark('extended');
    },
  },
  {
    name: 'relists',
    script: () => forever,
    run: async (world: World): Promise<void> => {
      await running(world);
      await world.patch('demo', { suspend: true });
      await world.untilTrue('demo', 'Suspended');
      await world.until('no worker is left', () => (world.pods().length === 0 ? true : undefined));
    },
  },
  {
    name: 'vanish',
    script: () => forever,
    run: async (world: World): Promise<void> => {
      await created(world);
      const wasSeen = (): boolean => world.observer.history(world.namespace).some(({ kind }) => kind === 'PolarPretrain');
      const isGone = (): boolean => wasSeen() && world.run('demo') === undefined;
      await world.until('two workers run, or the run is gone', () => (isGone() || world.pods().filter((pod) => pod.status?.phase === 'Running').length === 2 ? true : undefined));
      await world.removeRun('demo');
      await world.mark('deleted');
      await world.until('nothing is left', () => (isGone() && world.children().length === 0 ? true : undefined));
    },
  },
  {
    name: 'blocked',
    script: () => after(TRAINING_MS, done),
    run: async (world: World): Promise<void> => {
      await world.claim('runs');
      await world.pretrain('demo');
      await world.mark('created');
      await world.untilRun('demo', 'demo is refused', (run) => run.status?.conditions?.some(({ type, status }) => type === 'Accepted' && status === 'False') === true);
      await world.claim('data');
      await world.mark('mended');
      await complete(world);
    },
  },
];

/** Those that end by themselves and whose undisturbed end is learnt. */
export const LEARNT: readonly Workload[] = [...LIVES.filter(({ name }) => !['refused', 'namespace', 'relists'].includes(name)), ...TELLING.filter(({ name }) => name === 'telling')];

/** Every workload there is. */
export const WORKLOADS: readonly Workload[] = [...LIVES, ...FOREIGN, ...TELLING, ...HOSTILE, ...STORED];

export function workload(name: string): Workload {
  const found = WORKLOADS.find((one) => one.name === name);
  if (found === undefined) throw new Error(`no workload "${name}": expected ${WORKLOADS.map((one) => one.name).join(', ')}`);
  return found;
}
