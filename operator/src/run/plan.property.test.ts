// Whatever happens in whatever order, and wherever the operator dies.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isTrue } from './objects.ts';
import { planRun } from './plan.ts';
import { Simulation } from './testdata/simulation.ts';
import type { Step } from './testdata/simulation.ts';

const plain = fc.constantFrom<Step['do']>('jobController', 'start', 'collect', 'suspend', 'resume', 'deleteJob', 'dropClaim', 'addClaim', 'evict').map((what) => ({ do: what }) as Step);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('reconcile' as const), dieAfter: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }) }) },
  { weight: 6, arbitrary: fc.constantFrom<Step>({ do: 'jobController' }, { do: 'start' }, { do: 'collect' }) },
  { weight: 3, arbitrary: plain },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('exit' as const), index: fc.integer({ min: 0, max: 1 }), code: fc.constantFrom(0, 0, 0, 1, 1, 20, 15, 137, 11, 13, 14) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(1, 15, 400) }) },
);
const history = fc.array(step, { minLength: 1, maxLength: 80, size: 'max' });

function liveJobs(simulation: Simulation): number {
  return simulation.world.jobs.filter((job) => isTrue(job.status?.conditions, 'Failed') === undefined && isTrue(job.status?.conditions, 'Complete') === undefined).length;
}

function isOver(simulation: Simulation): boolean {
  const { conditions } = simulation.world.run.status;
  return isTrue(conditions, 'Complete') !== undefined || isTrue(conditions, 'Failed') !== undefined;
}

test('never two live attempts, never two live Jobs, numbers only rise, the end is final', () => {
  fc.assert(fc.property(history, (steps) => {
    const simulation = new Simulation();
    let before = simulation.world.run.status;
    for (const one of steps) {
      const wasOver = isOver(simulation);
      simulation.step(one);
      const { status } = simulation.world.run;
      assert.ok(simulation.liveAttempts().size <= 1, `live attempts ${[...simulation.liveAttempts()].join(' and ')}`);
      assert.ok(liveJobs(simulation) <= 1, 'two live Jobs');
      for (const field of ['attempt', 'restarts', 'interruptions'] as const) assert.ok((status[field] ?? 0) >= (before[field] ?? 0), `${field} fell`);
      if (wasOver) assert.deepEqual([isOver(simulation), status.attempt], [true, before.attempt], 'went on after the end');
      assert.ok((status.restarts ?? 0) <= 2, 'more restarts than maxRestarts');
      assert.equal((status.restarts ?? 0) + (status.interruptions ?? 0), Math.max(0, (status.attempt ?? 0) - 1), 'every attempt after the first is counted once');
      before = status;
    }
  }), { numRuns: 400 });
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
    const calm: Step[] = [{ do: 'reconcile' }, { do: 'collect' }, { do: 'jobController' }, { do: 'start' }, { do: 'exit', index: 0, code: 0 }, { do: 'exit', index: 1, code: 0 }, { do: 'jobController' }, { do: 'wait', seconds: 310 }];
    for (const one of [{ do: 'resume' }, { do: 'addClaim' }] as const) simulation.step(one);
    for (let round = 0; round < 12 && !isOver(simulation); round++) calm.forEach((one) => simulation.step(one));
    assert.ok(isOver(simulation), `stuck at ${planRun(simulation.world).because}`);
    simulation.step({ do: 'reconcile' });
    assert.deepEqual(planRun(simulation.world).actions, [], 'at rest');
  }), { numRuns: 300 });
});
