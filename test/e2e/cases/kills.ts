import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertOneJobPerAttempt, assertWholeCurve } from '../checks.ts';
import { EVERY, pretrain } from '../manifests.ts';
import { attemptOf, runUidOf } from '../objects.ts';
import type { Pod, Run } from '../objects.ts';
import { OPERATOR, killAll, processesOf, processesWith } from '../processes.ts';
import { operatorsOf, streamsOf } from '../operator.ts';
import type { Operator } from '../operator.ts';
import { say } from '../world.ts';
import type { World } from '../world.ts';

// Status keeps every point of a curve up to this length.
const STEPS = 120;
const long = (name: string, replicas: number): object => pretrain(name, { budget: { steps: STEPS }, workers: { replicas } });

const podOf = (world: World, run: Run, worker: number): Pod => {
  const pod = [...world.pods.now.values()].find((one) => runUidOf(one) === run.metadata.uid && attemptOf(one) === run.status?.attempt
    && one.metadata.labels?.['batch.kubernetes.io/job-completion-index'] === String(worker));
  assert.ok(pod, `pod of worker ${worker}`);
  return pod;
};

const stepOf = (run: Run | undefined): number => run?.status?.progress?.step ?? 0;

const assertAttempts = (status: Run['status'], wanted: readonly number[]): void => {
  assert.deepEqual([status?.attempt, status?.restarts, status?.interruptions], wanted, 'attempt, restarts, interruptions');
};

/** The run went on in a second, charged attempt from a checkpoint, and nothing of its curve is missing. */
const assertRestarted = async (world: World, name: string): Promise<void> => {
  const { metadata, status } = await world.untilComplete(name, 180);
  assertAttempts(status, [2, 1, 0]);
  const from = status?.progress?.resumedFromStep ?? 0;
  assert.ok(from > 0 && from < STEPS && from % EVERY === 0, `it went on from a checkpoint, not from step ${from}`);
  assertOneJobPerAttempt(world, metadata.uid, 2);
  await assertWholeCurve(world, name, STEPS);
};

const bothReplicas = (world: World): Promise<readonly Operator[]> => eventually('two replicas are ready', async () => {
  const found = await operatorsOf(world);
  return found.length === 2 ? found : undefined;
});

const replicaWithStreams = (replicas: readonly Operator[]): Promise<Operator> => eventually(`a trainer reports to ${replicas.map(({ name }) => name).join(' or ')}`, async () => {
  for (const replica of replicas) if (await streamsOf(replica) > 0) return replica;
  return undefined;
});

const eventually = async <T>(what: string, ask: () => Promise<T | undefined>): Promise<T> => {
  const from = Date.now();
  for (;;) {
    const found = await ask();
    if (found !== undefined) {
      say(`${what}: after ${((Date.now() - from) / 1000).toFixed(1)} s`);
      return found;
    }
    assert.ok(Date.now() - from < 60_000, `${what}: not within 60 s`);
    await sleep(100);
  }
};

export const operatorKillCases = (world: () => World): void => {
  test('a run does not notice that one replica of the operator after the other is killed in the middle of it', async () => {
    const w = world();
    const before = await bothReplicas(w);
    await w.apply(long('unnoticed', 1));
    await w.untilStep('unnoticed', 10);
    const serving = await replicaWithStreams(before);
    const other = before.find(({ uid }) => uid !== serving.uid) ?? serving;
    await killAll(processesWith(`POD_NAME=${serving.name}`, OPERATOR), `the replica ${serving.name} that has the trainer's stream`);
    await replicaWithStreams([other]);
    await w.untilStep('unnoticed', stepOf(w.run('unnoticed')) + 5);
    await killAll(processesWith(`POD_NAME=${other.name}`, OPERATOR), `the other replica, ${other.name}`);
    const { metadata, status } = await w.untilComplete('unnoticed', 180);
    const after = await bothReplicas(w);
    for (const { name, restarts } of before) assert.ok(after.some((now) => now.name !== name || now.restarts > restarts), `${name} was restarted`);
    assertAttempts(status, [1, 0, 0]);
    assertOneJobPerAttempt(w, metadata.uid, 1);
    await assertWholeCurve(w, 'unnoticed', STEPS);
  });
};

export const trainerKillCases = (world: () => World): void => {
  for (const [name, worker, part] of [['rank-killed', 0, 'polar.rank'], ['launcher-killed', 1, 'polar.launch']] as const) {
    test(`a run goes on from its newest checkpoint when ${part} of worker ${worker} is killed`, async () => {
      const w = world();
      await w.apply(long(name, 2));
      const run = await w.untilStep(name, 11);
      await killAll(processesOf(podOf(w, run, worker).metadata.uid, part), `${part} of worker ${worker}`);
      await assertRestarted(w, name);
    });
  }
};
