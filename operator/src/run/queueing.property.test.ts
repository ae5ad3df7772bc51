// A run in a queue, with Kueue and everybody else acting in any order, and the operator dying anywhere.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { deepFreeze } from '../runtime/object.ts';
import { holdsTrue, statusOfWorkload } from './kueue.ts';
import type { Queueing, Workload } from './kueue.ts';
import { isTrue } from './objects.ts';
import { planRun } from './plan.ts';
import { queueStateOf } from './queueState.ts';
import { Simulation } from './testdata/simulation.ts';
import type { Step } from './testdata/simulation.ts';
import { hasEnded } from './workers.ts';

type KueueStep = 'admits' | 'checks' | 'preempts' | 'stops' | 'isDeleted' | 'isRemoved' | 'comesBack';
type Move = Step | { readonly kueue: KueueStep };

const FLAVOR = { metadata: { name: 'a100' }, spec: { nodeLabels: { gpu: 'a100' } } };
const NO_QUEUEING: Queueing = { isInstalled: true, flavors: [FLAVOR] };

const condition = (type: string, status: string, reason: string): object => ({ type, status, reason, message: 'm', lastTransitionTime: '2026-01-01T00:00:00Z' });

/** What Kueue does to a Workload. */
class Queue {
  readonly simulation = new Simulation({ queue: { name: 'gpus' }, workers: { replicas: 2 } }, { queueing: NO_QUEUEING });

  step(move: Move): void {
    if (!('kueue' in move)) this.simulation.step(move);
    else this.#kueue[move.kueue]();
  }

  get queueing(): Queueing {
    return this.simulation.world.queueing ?? NO_QUEUEING;
  }

  readonly #kueue: Readonly<Record<KueueStep, () => void>> = {
    admits: () => this.#change((status) => ((this.#has(status, 'QuotaReserved') && this.#has(status, 'Evicted')) || this.#has(status, 'Finished') ? status : {
      ...status, conditions: [condition('QuotaReserved', 'True', 'QuotaReserved'), condition('Admitted', 'True', 'Admitted'), condition('Evicted', 'False', 'QuotaReserved')],
      admission: { clusterQueue: 'all', podSetAssignments: [{ name: 'main', count: 2, flavors: { cpu: 'a100' } }] },
    })),
    checks: () => this.#change((status) => (this.#has(status, 'QuotaReserved') ? status : { ...status, conditions: [condition('QuotaReserved', 'True', 'QuotaReserved')], admissionChecks: [{ name: 'c', state: 'Pending' }] })),
    preempts: () => this.#evict('Preempted'),
    stops: () => this.#evict('ClusterQueueStopped'),
    isDeleted: () => this.#set({ workload: undefined }),
    isRemoved: () => this.#set({ isInstalled: false, workload: undefined, flavors: [] }),
    comesBack: () => this.#set({ isInstalled: true, flavors: [FLAVOR] }),
  };

  #evict(reason: string): void {
    this.#change((status) => (this.#has(status, 'QuotaReserved') && !this.#has(status, 'Finished')
      ? { ...status, conditions: [...(status['conditions'] as object[]).filter((one) => (one as { type: string }).type !== 'Evicted'), condition('Evicted', 'True', reason)] } : status));
  }

  #has(status: NonNullable<Workload['status']>, type: string): boolean {
    return holdsTrue(statusOfWorkload({ metadata: { name: 'x' }, status }), type) !== undefined;
  }

  #change(change: (status: NonNullable<Workload['status']>) => NonNullable<Workload['status']>): void {
    const { workload } = this.queueing;
    if (workload !== undefined) this.#set({ workload: { ...workload, status: change(workload.status ?? {}) } });
  }

  #set(change: Partial<Queueing>): void {
    this.simulation.world = deepFreeze({ ...this.simulation.world, queueing: { ...this.queueing, ...change } });
  }
}

const plain = (...steps: Step['do'][]): fc.Arbitrary<Move> => fc.constantFrom(...steps).map((what) => ({ do: what }) as Step);
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('reconcile' as const), dieAfter: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }) }) },
  { weight: 5, arbitrary: fc.constantFrom<KueueStep>('admits', 'admits', 'admits', 'checks', 'preempts', 'preempts', 'stops', 'isDeleted', 'isRemoved', 'comesBack').map((kueue) => ({ kueue })) },
  { weight: 6, arbitrary: plain('jobController', 'start', 'collect') },
  { weight: 2, arbitrary: plain('suspend', 'resume', 'deleteJob', 'evict') },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('exit' as const), index: fc.integer({ min: 0, max: 1 }), code: fc.constantFrom(0, 0, 1, 20, 20, 137) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(1, 15, 700) }) },
);
const history = fc.array(move, { minLength: 1, maxLength: 80, size: 'max' });

const isOver = ({ simulation: { world } }: Queue): boolean => ['Complete', 'Failed'].some((type) => isTrue(world.run.status.conditions, type) !== undefined);
const holdsQuota = ({ queueing: { workload } }: Queue): boolean => workload !== undefined && holdsTrue(statusOfWorkload(workload), 'QuotaReserved') !== undefined;

test('no Job begins without an admission, and no quota goes back while a pod runs', () => {
  fc.assert(fc.property(history, (moves) => {
    const queue = new Queue();
    for (const one of moves) {
      const { jobs, pods } = queue.simulation.world;
      const [state, held] = [queueStateOf(queue.simulation.world), holdsQuota(queue)];
      queue.step(one);
      if ('kueue' in one) continue;
      const known = new Set(jobs.map(({ metadata }) => metadata.uid));
      if (queue.simulation.world.jobs.some(({ metadata }) => !known.has(metadata.uid))) assert.equal(state, 'admitted');
      if (held && !holdsQuota(queue)) assert.deepEqual(pods.filter((pod) => !hasEnded(pod)), []);
      assert.ok(queue.simulation.liveAttempts().size <= 1);
    }
  }), { numRuns: 200 });
});

test('an evicted run stops within its grace, gives the quota back, and completes once it is admitted again', () => {
  fc.assert(fc.property(history, (moves) => {
    const queue = new Queue();
    for (const one of moves) queue.step(one);
    queue.step({ do: 'resume' });
    queue.step({ kueue: 'comesBack' });
    const calm: Move[] = [{ do: 'reconcile' }, { do: 'collect' }, { kueue: 'admits' }, { do: 'reconcile' }, { do: 'jobController' }, { do: 'start' }, { do: 'exit', index: 0, code: 0 }, { do: 'exit', index: 1, code: 0 }, { do: 'jobController' }, { do: 'wait', seconds: 610 }];
    for (let round = 0; round < 16 && !isOver(queue); round++) calm.forEach((one) => queue.step(one));
    assert.ok(isOver(queue), `stuck at ${planRun(queue.simulation.world).because} with ${queueStateOf(queue.simulation.world)}`);
    for (const one of [{ do: 'collect' }, { do: 'reconcile' }, { do: 'reconcile' }] as const) queue.step(one);
    const { workload } = queue.queueing;
    assert.ok(workload === undefined || holdsTrue(statusOfWorkload(workload), 'Finished') !== undefined, 'its quota is free');
    assert.deepEqual(planRun(queue.simulation.world).actions, [], 'at rest');
  }), { numRuns: 150 });
});
