// What must hold for every run, whatever was done to it.
import assert from 'node:assert/strict';
import { attemptOf, runUidOf } from './objects.ts';
import type { Pod } from './objects.ts';
import { metricsOf } from './volume.ts';
import type { World } from './world.ts';

const hasEnded = (pod: Pod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';

/** Exactly one Job was ever made for each attempt 1 to `attempts`, and pods of two attempts never lived at once. */
export const assertOneJobPerAttempt = (world: World, runUid: string, attempts: number): void => {
  const jobs = world.jobs.history.filter(({ object }) => runUidOf(object) === runUid);
  const made = new Map(jobs.map(({ object }) => [object.metadata.uid, attemptOf(object)]));
  assert.deepEqual([...made.values()].sort(), Array.from({ length: attempts }, (_, index) => index + 1), 'one Job for each attempt');
  const live = new Map<string, number>();
  for (const { type, object } of world.pods.history) {
    if (runUidOf(object) !== runUid) continue;
    if (type === 'DELETED' || hasEnded(object)) live.delete(object.metadata.uid);
    else live.set(object.metadata.uid, attemptOf(object));
    const attemptsAlive = new Set(live.values());
    assert.ok(attemptsAlive.size <= 1, `pods of attempts ${[...attemptsAlive].join(' and ')} lived at once`);
  }
};

/** Status rounds losses to six digits and accuracies to four. */
const isSame = (recorded: number | undefined, shown: string | undefined): boolean =>
  (recorded === undefined || shown === undefined ? recorded === shown : Math.abs(recorded - Number(shown)) < 1e-4);

/** Status shows every step that the trainer recorded, from 1 to `steps`, each once, with the same losses. */
export const assertWholeCurve = async (world: World, name: string, steps: number): Promise<void> => {
  const points = await metricsOf(world, name);
  const all = Array.from({ length: steps }, (_, index) => index + 1);
  assert.deepEqual(points.map(({ step }) => step), all, 'metrics.jsonl has every step once');
  const curve = world.run(name)?.status?.curve ?? [];
  assert.deepEqual(curve.map(({ step }) => step), all, 'status.curve has every step once');
  points.forEach((point, index) => {
    const shown = curve[index];
    const same = isSame(point.train_loss, shown?.trainLoss) && isSame(point.val_loss, shown?.valLoss) && isSame(point.val_accuracy, shown?.valAccuracy);
    assert.ok(same, `status.curve ${JSON.stringify(shown)} shows what metrics.jsonl recorded: ${JSON.stringify(point)}`);
  });
};
