import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertOneJobPerAttempt, assertWholeCurve } from '../checks.ts';
import { pretrain } from '../manifests.ts';
import { runUidOf } from '../objects.ts';
import type { World } from '../world.ts';

const STEPS = 120;
// Status keeps every point of a curve up to 144 steps.
const MORE = 140;

const exitCodes = (world: World, uid: string): readonly (number | undefined)[] =>
  [...world.pods.now.values()].filter((pod) => runUidOf(pod) === uid).map((pod) => pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode);

/** A run that is complete trains on from its last step when its budget is raised. */
const goesOnTo = async (w: World, uid: string, steps: number): Promise<void> => {
  await w.kubectl('patch', 'polarpretrain', 'paused', '--type=merge', '-p', `{"spec":{"budget":{"steps":${steps}}}}`);
  await w.untilCondition('paused', 'Complete', { status: 'False', reason: 'BudgetRaised', timeoutSeconds: 20 });
  const { status = {} } = await w.untilComplete('paused', 180);
  assert.deepEqual([status.attempt, status.restarts, status.progress?.resumedFromStep, status.checkpoints?.latest?.step], [3, 0, STEPS, steps], 'attempt, restarts, from, to');
  assertOneJobPerAttempt(w, uid, 3);
  await assertWholeCurve(w, 'paused', steps);
};

export const suspendCases = (world: () => World): void => {
  test('a suspended run saves, gives its workers back and goes on from there, and goes on again when it may train longer', async () => {
    const w = world();
    // No checkpoint is due before the last step: the one it goes on from was made by the suspension, some steps after a validation.
    await w.apply(pretrain('paused', { budget: { steps: STEPS }, checkpoint: { everySteps: STEPS } }));
    const { metadata: { uid } } = await w.untilStep('paused', 11);
    await w.kubectl('patch', 'polarpretrain', 'paused', '--type=merge', '-p', '{"spec":{"suspend":true}}');
    const suspended = await w.untilCondition('paused', 'Suspended', { timeoutSeconds: 90 });
    assert.deepEqual(exitCodes(w, uid), [20], 'told by the operator to save and stop, not killed');
    assert.equal(suspended.status?.phase, 'Suspended');
    const saved = suspended.status.checkpoints?.latest?.step ?? 0;
    assert.ok(saved >= 11 && saved < STEPS, `saved step ${saved}`);

    await w.kubectl('patch', 'polarpretrain', 'paused', '--type=merge', '-p', '{"spec":{"suspend":false}}');
    const { status = {} } = await w.untilComplete('paused', 180);
    assert.equal(status.progress?.resumedFromStep, saved);
    assert.deepEqual([status.attempt, status.restarts, status.interruptions], [2, 0, 1], 'attempt, restarts, interruptions');
    assertOneJobPerAttempt(w, uid, 2);
    await assertWholeCurve(w, 'paused', STEPS);
    await goesOnTo(w, uid, MORE);
  });
};
