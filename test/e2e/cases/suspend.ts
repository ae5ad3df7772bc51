import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertOneJobPerAttempt, assertWholeCurve } from '../checks.ts';
import { pretrain } from '../manifests.ts';
import { conditionOf, runUidOf } from '../objects.ts';
import type { World } from '../world.ts';

const STEPS = 120;

export const suspendCases = (world: () => World): void => {
  test('a suspended run saves, gives its workers back and goes on from there', async () => {
    const w = world();
    // No checkpoint is due before the last step: the one it goes on from was made by the suspension, some steps after a validation.
    await w.apply(pretrain('paused', { budget: { steps: STEPS }, checkpoint: { everySteps: STEPS } }));
    const { metadata: { uid } } = await w.untilStep('paused', 11);
    await w.kubectl('patch', 'polarpretrain', 'paused', '--type=merge', '-p', '{"spec":{"suspend":true}}');
    await w.untilCondition('paused', 'Suspended', { timeoutSeconds: 20 });
    await w.until('the workers of the suspended run are gone', 90, () => ([...w.pods.now.values()].some((pod) => runUidOf(pod) === uid) ? undefined : true));
    const suspended = await w.until('status says that no worker runs', 20, () => {
      const run = w.run('paused');
      return conditionOf(run, 'Suspended')?.message === 'no worker runs' ? run : undefined;
    });
    assert.equal(suspended.status?.phase, 'Suspended');
    const saved = suspended.status.checkpoints?.latest?.step ?? 0;
    assert.ok(saved >= 11 && saved < STEPS, `saved step ${saved}`);

    await w.kubectl('patch', 'polarpretrain', 'paused', '--type=merge', '-p', '{"spec":{"suspend":false}}');
    const { status } = await w.untilComplete('paused', 180);
    assert.equal(status?.progress?.resumedFromStep, saved);
    assert.deepEqual([status.attempt, status.restarts, status.interruptions], [2, 0, 1], 'attempt, restarts, interruptions');
    assertOneJobPerAttempt(w, uid, 2);
    await assertWholeCurve(w, 'paused', STEPS);
  });
};
