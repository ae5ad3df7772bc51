// Objects in the store that the present definition refuses: each must be left waiting with a reason, hurt no other run, and go on once it is mended.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { API_VERSION } from '../../operator/src/api/labels.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { ApiError } from '../../operator/src/runtime/apiError.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import type { Workload } from './workloads.ts';
import type { World } from './world.ts';

const LOOK_MS = 1500;
const done = { code: 0, message: JSON.stringify({ message: 'trained 500 steps' }) };

const GOOD = {
  model: { size: '300K' }, data: { uri: 'pvc://data/pool', maxLength: 512, maxResponseLength: 128 }, budget: { steps: 500 },
  checkpoint: { store: { pvc: 'runs' } }, workers: { replicas: 1 }, recovery: { saveTimeoutSeconds: 2 },
};

const SPECS: Readonly<Record<string, object>> = {
  'no-spec': {}, 'null-spec': { spec: null }, 'text-spec': { spec: 'text' }, 'list-spec': { spec: [] }, 'empty-spec': { spec: {} },
  'text-workers': { spec: { ...GOOD, workers: 'many' } }, 'text-replicas': { spec: { ...GOOD, workers: { replicas: 'two' } } }, 'less-than-none': { spec: { ...GOOD, workers: { replicas: -1 } } },
  'unknown-size': { spec: { ...GOOD, model: { size: 'enormous' } } }, 'text-recovery': { spec: { ...GOOD, recovery: 'never' } }, 'number-uri': { spec: { ...GOOD, data: { uri: 7 } } },
  'list-budget': { spec: { ...GOOD, budget: [500] } }, 'text-suspend': { spec: { ...GOOD, suspend: 'perhaps' } },
};

const STATUSES: Readonly<Record<string, unknown>> = {
  'text-status': 'gone', 'list-status': [], 'null-status': null, 'map-conditions': { conditions: { type: 'Complete' } }, 'text-attempt': { attempt: 'two' }, 'less-attempt': { attempt: -3 },
  'odd-conditions': { conditions: [null, 'Complete', { type: 7 }] }, 'number-job': { job: 7 }, 'text-time': { attempt: 1, attemptStartTime: 'yesterday' },
  'odd-progress': { progress: 'much' }, 'odd-stop': { attempt: 1, stopRequest: 'now' },
};

const CHECKPOINTS: Readonly<Record<string, unknown>> = {
  'text-checkpoints': { checkpoints: 'none' }, 'text-history': { checkpoints: { latest: 'best', history: 'all' } }, 'odd-history': { checkpoints: { history: [null, 'first', { step: 'last' }] } },
};

function objectOf(world: World, name: string, more: object): KubeObject {
  const metadata = { name, namespace: world.namespace, uid: randomUUID(), generation: 1, creationTimestamp: new Date().toISOString().replace(/\.\d+Z$/, 'Z') };
  return { apiVersion: API_VERSION, kind: 'PolarPretrain', metadata, ...more };
}

/** Another run completes beside them. */
async function beside(world: World, objects: readonly KubeObject[]): Promise<void> {
  await world.claims();
  for (const object of objects) await world.put(RUN_RESOURCES.PolarPretrain, object);
  await world.until('the stored runs are seen', () => (objects.every(({ metadata }) => world.run(metadata.name) !== undefined) ? true : undefined));
  await world.pretrain('demo');
  await world.mark('created');
  await world.untilTrue('demo', 'Complete');
  await world.mark('complete');
  await sleep(LOOK_MS);
}

/** What cannot be changed any more cannot be mended when it is wrong: such a run has to be made anew. */
async function isMended(world: World, name: string): Promise<boolean> {
  try {
    await world.change(RUN_RESOURCES.PolarPretrain, name, { spec: { ...GOOD, suspend: false } });
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 422) return false;
    throw error;
  }
}

async function removed(world: World, names: readonly string[]): Promise<void> {
  for (const name of names) await world.removeRun(name);
  await world.until('the stored runs are gone', () => (names.every((name) => world.run(name) === undefined) ? true : undefined));
}

const storedSpecs: Workload = {
  name: 'stored-specs',
  script: () => sleep(100, done),
  run: async (world: World): Promise<void> => {
    await beside(world, Object.entries(SPECS).map(([name, more]) => objectOf(world, name, more)));
    for (const name of Object.keys(SPECS)) {
      const job = world.jobs().find(({ metadata }) => metadata.name.startsWith(`${name}-`));
      if (job !== undefined) throw new Error(`Job ${job.metadata.name} was created for a run whose spec the definition refuses`);
    }
    const mended: string[] = [];
    for (const name of Object.keys(SPECS)) if (await isMended(world, name)) mended.push(name);
    await world.mark('mended');
    for (const name of mended) await world.untilTrue(name, 'Complete');
    await removed(world, Object.keys(SPECS));
  },
};

const storedStatuses = (name: string, statuses: Readonly<Record<string, unknown>>): Workload => ({
  name,
  script: () => sleep(100, done),
  run: async (world: World): Promise<void> => {
    await beside(world, Object.entries(statuses).map(([run, status]) => objectOf(world, run, { spec: GOOD, status })));
    await removed(world, Object.keys(statuses));
  },
});

export const STORED: readonly Workload[] = [storedSpecs, storedStatuses('stored-statuses', STATUSES), storedStatuses('stored-checkpoints', CHECKPOINTS)];
