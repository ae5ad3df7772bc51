import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertOneJobPerAttempt, assertWholeCurve } from '../checks.ts';
import { EVERY, pretrain } from '../manifests.ts';
import { attemptOf, runUidOf } from '../objects.ts';
import type { Pod, Run } from '../objects.ts';
import { killAll, processesOf, processesWith } from '../processes.ts';
import { operatorOf } from '../operator.ts';
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

/** The run went on in a second, charged attempt from a checkpoint, and nothing of its curve is missing. */
const assertRestarted = async (world: World, name: string): Promise<void> => {
  const { metadata, status } = await world.untilComplete(name, 180);
  assert.deepEqual([status?.attempt, status?.restarts, status?.interruptions], [2, 1, 0], 'attempt, restarts, interruptions');
  const from = status?.progress?.resumedFromStep ?? 0;
  assert.ok(from > 0 && from < STEPS && from % EVERY === 0, `it went on from a checkpoint, not from step ${from}`);
  assertOneJobPerAttempt(world, metadata.uid, 2);
  await assertWholeCurve(world, name, STEPS);
};

export const killCases = (world: () => World): void => {
  test('a run does not notice that the operator is killed in the middle of it', async () => {
    const w = world();
    await w.apply(long('unnoticed', 1));
    const before = await operatorOf(w);
    await w.untilStep('unnoticed', 10);
    await killAll(processesWith(`POD_NAME=${before.name}`, /^\S*node operator\/src\/main\.ts/), 'the operator');
    const { metadata, status } = await w.untilComplete('unnoticed', 180);
    const after = await operatorOf(w);
    say(`the operator's container was restarted ${after.restarts - before.restarts} times`);
    assert.ok(after.restarts > before.restarts || after.uid !== before.uid, 'the operator was restarted');
    assert.deepEqual([status?.attempt, status?.restarts, status?.interruptions], [1, 0, 0], 'attempt, restarts, interruptions');
    assertOneJobPerAttempt(w, metadata.uid, 1);
    await assertWholeCurve(w, 'unnoticed', STEPS);
  });

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
