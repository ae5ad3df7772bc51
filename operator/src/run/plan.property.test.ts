// Whatever happens in whatever order, and wherever the operator dies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RunStatus } from '../api/status.ts';
import { millisOf } from './instant.ts';
import { isTrue } from './objects.ts';
import { planRun } from './plan.ts';
import type { Plan } from './plan.ts';
import { Simulation } from './testdata/simulation.ts';
import type { Step } from './testdata/simulation.ts';
import { hasEnded, indexOf } from './workers.ts';

const plain = fc.constantFrom<Step['do']>('jobController', 'start', 'collect', 'suspend', 'resume', 'deleteJob', 'dropClaim', 'addClaim', 'evict', 'raiseBudget', 'raiseRestarts', 'report', 'save').map((what) => ({ do: what }) as Step);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('reconcile' as const), dieAfter: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }) }) },
  { weight: 6, arbitrary: fc.constantFrom<Step>({ do: 'jobController' }, { do: 'start' }, { do: 'collect' }) },
  { weight: 4, arbitrary: plain },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('resize' as const), replicas: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('exit' as const), index: fc.integer({ min: 0, max: 1 }), code: fc.constantFrom(0, 0, 0, 1, 1, 20, 15, 137, 11, 13, 13, 14) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(1, 15, 120, 400, 1300) }) },
);
const history = fc.array(step, { minLength: 1, maxLength: 80, size: 'max' });

function liveJobs(simulation: Simulation): number {
  return simulation.world.jobs.filter((job) => isTrue(job.status?.conditions, 'Failed') === undefined && isTrue(job.status?.conditions, 'Complete') === undefined).length;
}

function endOf({ conditions }: RunStatus): { readonly reason?: string } | undefined {
  return isTrue(conditions, 'Complete') ?? isTrue(conditions, 'Failed');
}

function assertOneOfEach(simulation: Simulation): void {
  assert.ok(simulation.liveAttempts().size <= 1, `live attempts ${[...simulation.liveAttempts()].join(' and ')}`);
  assert.ok(liveJobs(simulation) <= 1, 'two live Jobs');
  const ranks = simulation.world.pods.filter((pod) => !hasEnded(pod)).map(indexOf);
  assert.equal(new Set(ranks).size, ranks.length, `two live pods of one rank: ${ranks.join(', ')}`);
}

function assertCountedOnce(status: RunStatus, before: RunStatus): void {
  const { attempt = 0, restarts = 0, interruptions = 0, restartsByReason = [] } = status;
  for (const field of ['attempt', 'restarts', 'interruptions', 'idleSeconds'] as const) assert.ok((status[field] ?? 0) >= (before[field] ?? 0), `${field} fell`);
  assert.ok(attempt <= (before.attempt ?? 0) + 1, 'an attempt was skipped');
  assert.equal(restarts + interruptions, Math.max(0, attempt - 1), 'every attempt after the first is counted once');
  assert.equal(restartsByReason.reduce((sum, { count }) => sum + count, 0), Math.max(0, attempt - 1), 'and once with its reason');
}

/** An end stays unless somebody has raised what it ended by. */
function assertFinal(simulation: Simulation, before: RunStatus): void {
  const { status } = simulation.world.run;
  const [end, now] = [endOf(before), endOf(status)];
  if (end === undefined) return;
  if (now === undefined) assert.ok(isRaised(simulation, before), `the end ${end.reason ?? ''} was taken back`);
  else assert.deepEqual([status.attempt, now.reason], [before.attempt, end.reason], 'went on after the end');
}

function isRaised({ world: { run } }: Simulation, { conditions, budget, restarts = 0 }: RunStatus): boolean {
  assert.ok(run.spec !== undefined);
  const { recovery, budget: { steps = 0 } } = run.spec.spec;
  if (isTrue(conditions, 'Complete') !== undefined) return steps > (budget?.steps ?? 0);
  return isTrue(conditions, 'Failed')?.reason === 'MaxRestartsExceeded' && restarts < recovery.maxRestarts;
}

/** Nothing begins while suspended, and workers that train are asked to save before their Job is deleted, in time. */
function assertGentle(plan: Plan): void {
  const { actions, verdict, situation: { seen: { run, now }, stopRequest } } = plan;
  const { suspend = false, recovery = { saveTimeoutSeconds: 0 } } = run.spec?.spec ?? {};
  const begins = verdict.begins !== undefined || actions.some((action) => action.do === 'create');
  assert.ok(!(suspend && begins), 'begins while suspended');
  if (!stopsTraining(plan)) return;
  assert.ok(stopRequest !== undefined, 'deletes the Job of workers that were not asked to save');
  assert.ok(millisOf(now) >= millisOf(stopRequest.time) + recovery.saveTimeoutSeconds * 1000, 'deletes the Job of workers that may still be saving');
}

function stopsTraining({ actions, situation: s }: Plan): boolean {
  const isDeleted = actions.some((action) => action.do === 'delete' && action.uid === s.job?.metadata.uid);
  return isDeleted && s.jobState === 'active' && s.hasStarted && !s.isOver;
}

test('never two live attempts, Jobs or pods of one rank, numbers only rise, an end is final unless something is raised, and workers may save', () => {
  fc.assert(fc.property(history, (steps) => {
    const simulation = new Simulation();
    simulation.onPlan = assertGentle;
    let before = simulation.world.run.status;
    for (const one of steps) {
      simulation.step(one);
      const { status, spec } = simulation.world.run;
      assertOneOfEach(simulation);
      assertCountedOnce(status, before);
      assertFinal(simulation, before);
      assert.ok((status.restarts ?? 0) <= (spec?.spec.recovery.maxRestarts ?? 0), 'more restarts than maxRestarts');
      before = status;
    }
  }), { numRuns: 500 });
});

test('leaves what it observed as it was, and plans the same twice', () => {
  fc.assert(fc.property(history, (steps) => {
    const simulation = new Simulation();
    for (const one of steps) simulation.step(one);
    const copy = structuredClone(simulation.world);
    assert.deepEqual(planRun(simulation.world), planRun(simulation.world));
    assert.deepEqual(simulation.world, copy);
  }), { numRuns: 100 });
});

test('completes once faults stop, however it was left', () => {
  fc.assert(fc.property(history, (steps) => {
    const simulation = new Simulation();
    for (const one of steps) simulation.step(one);
    const exits = [0, 1, 2].map((index) => ({ do: 'exit' as const, index, code: 0 }));
    const calm: Step[] = [{ do: 'reconcile' }, { do: 'collect' }, { do: 'jobController' }, { do: 'start' }, ...exits, { do: 'jobController' }, { do: 'wait', seconds: 310 }];
    for (const one of [{ do: 'resume' }, { do: 'addClaim' }] as const) simulation.step(one);
    const isOver = (): boolean => planRun(simulation.world).because === 'isOver';
    for (let round = 0; round < 12 && !isOver(); round++) calm.forEach((one) => simulation.step(one));
    assert.ok(isOver(), `stuck at ${planRun(simulation.world).because}`);
    simulation.step({ do: 'reconcile' });
    assert.deepEqual(planRun(simulation.world).actions, [], 'at rest');
  }), { numRuns: 300 });
});
