// The product from outside: a real control plane, the operator and the trainer, driven with kubectl and kill -9.
import { after, before, describe } from 'node:test';
import { badInputCases } from './cases/badInput.ts';
import { blockedCases } from './cases/blocked.ts';
import { bucketCases } from './cases/bucket.ts';
import { exampleCases } from './cases/examples.ts';
import { operatorKillCases, trainerKillCases } from './cases/kills.ts';
import { registryCases } from './cases/registry.ts';
import { suspendCases } from './cases/suspend.ts';
import { sweepCases } from './cases/sweep.ts';
import { trainingCases } from './cases/training.ts';
import { DATA, RUNS, claim, toyPool } from './manifests.ts';
import { say, startWorld, stopWorld } from './world.ts';
import type { World } from './world.ts';

let started: World | undefined;
const world = (): World => {
  if (started === undefined) throw new Error('the cluster did not come up');
  return started;
};

before(async () => {
  started = await startWorld();
  await started.apply(claim(DATA), claim(RUNS), toyPool());
  await started.until('the toy policy pool is written', 120, () => world().jobs.now.get('pool')?.status?.conditions?.find(({ type, status }) => type === 'Complete' && status === 'True'));
}, { timeout: 600_000 });

after(async () => {
  if (started !== undefined) await stopWorld(started);
  say('done');
}, { timeout: 120_000 });

const timeout = 400_000;
describe('examples', { timeout }, () => { exampleCases(world); });
describe('training', { timeout, concurrency: 2 }, () => { trainingCases(world); registryCases(world); });
describe('bad input', { timeout }, () => { badInputCases(world); });
describe('a bucket', { timeout }, () => { bucketCases(world); });
describe('a sweep', { timeout: 600_000 }, () => { sweepCases(world); });
describe('what blocks a run', { timeout, concurrency: 3 }, () => { blockedCases(world); });
// Alone: without an operator no other run's status moves.
describe('kill -9 of the operator', { timeout }, () => { operatorKillCases(world); });
describe('kill -9 and suspension', { timeout, concurrency: 2 }, () => { trainerKillCases(world); suspendCases(world); });
