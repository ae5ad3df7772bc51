import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RunConfig } from '../../../operator/src/api/runConfig.ts';
import type { CheckpointRecord, RunStatus } from '../../../operator/src/api/status.ts';
import { assertOneJobPerAttempt, assertWholeCurve } from '../checks.ts';
import { STEPS, finetune, pretrain } from '../manifests.ts';
import { messageOf, runUidOf } from '../objects.ts';
import type { Run, Thing } from '../objects.ts';
import { processesOf } from '../processes.ts';
import { pathOf, sha256 } from '../volume.ts';
import type { World } from '../world.ts';

const assertOnVolume = async (world: World, record: CheckpointRecord | undefined): Promise<void> => {
  assert.ok(record, 'a checkpoint');
  const manifest = join(await pathOf(world, record.uri), 'manifest.json');
  assert.equal(sha256(manifest), record.manifestSha256, `${record.uri}: manifestSha256`);
};

const assertProgress = ({ progress, validation }: RunStatus): void => {
  assert.equal(progress?.stage, 'Done');
  assert.equal(progress.step, STEPS);
  assert.equal(progress.totalSteps, STEPS);
  assert.ok((progress.tokens ?? 0) > 1000, `tokens ${progress.tokens}`);
  for (const field of ['trainLoss', 'valLoss', 'tokensPerSecond'] as const) assert.ok(Number(progress[field]) > 0, `${field} ${progress[field]}`);
  assert.equal(progress.etaSeconds, 0);
  const { pairs, accuracy, accuracyLower, accuracyUpper } = validation?.seenPolicies ?? {};
  assert.ok((pairs ?? 0) >= 50, `pairs ${pairs}`);
  assert.ok(Number(accuracyLower) <= Number(accuracy) && Number(accuracy) <= Number(accuracyUpper), `${accuracyLower} <= ${accuracy} <= ${accuracyUpper}`);
};

const assertCheckpoints = async (world: World, { checkpoints }: RunStatus): Promise<void> => {
  assert.equal(checkpoints?.latest?.step, STEPS);
  assert.ok(Number(checkpoints.best?.valLoss) <= Number(checkpoints.latest.valLoss));
  const history = checkpoints.history ?? [];
  assert.deepEqual(history.map(({ step }) => step), history.map(({ step }) => step).sort((a, b) => b - a), 'newest first');
  for (const record of [checkpoints.latest, checkpoints.best, ...history]) await assertOnVolume(world, record);
};

const childrenOf = async (world: World, run: Run): Promise<readonly Thing[]> => {
  const { items } = await world.get<{ items: Thing[] }>('jobs,services,configmaps,pods', '-l', `polar.training/run-uid=${run.metadata.uid}`);
  return items;
};

const runConfigOf = async (world: World, name: string): Promise<RunConfig> =>
  JSON.parse((await world.get<{ data: Record<string, string> }>('configmap', name)).data['run.json'] ?? '') as RunConfig;

const podUidsOf = (world: World, run: Run): readonly string[] =>
  [...new Set(world.pods.history.filter(({ object }) => runUidOf(object) === run.metadata.uid).map(({ object }) => object.metadata.uid))];

export const trainingCases = (world: () => World): void => {
  test('a fine-tune applied with its pre-train waits for it and starts from its best checkpoint', async () => {
    const w = world();
    const warmStart = { policyClassification: { steps: 20, batchTrajectories: 16 } };
    await w.apply(finetune('ranked', { pretrainRef: { name: 'base' } }), pretrain('base', { warmStart, workers: { replicas: 2 } }));
    const waiting = await w.untilCondition('ranked', 'Accepted', { status: 'False', reason: 'WaitingForCheckpoint', timeoutSeconds: 20 });
    assert.match(messageOf(waiting, 'Accepted'), /"base" is not complete yet/);

    await w.untilStep('base', 1);
    assert.match(await w.kubectl('logs', '-l', 'batch.kubernetes.io/job-name=base-pretrain-1,batch.kubernetes.io/job-completion-index=0', '--tail=-1'), /warm start 20\/20/);
    const base = await w.untilComplete('base');
    assert.notEqual(messageOf(base, 'Complete'), '', 'what Complete says');
    assertProgress(base.status ?? {});
    await assertCheckpoints(w, base.status ?? {});
    await assertWholeCurve(w, 'base', STEPS);
    assertOneJobPerAttempt(w, base.metadata.uid, 1);

    const ranked = await w.untilComplete('ranked');
    assert.equal((await runConfigOf(w, 'ranked-finetune-1')).model.init?.manifestSha256, base.status?.checkpoints?.best?.manifestSha256);
    assert.deepEqual([ranked.status?.progress?.step, ranked.status?.attempt], [30, 1], 'step and attempt');
    await assertWholeCurve(w, 'ranked', 30);
  });

  test('deleting a run removes what it made and leaves no process and its checkpoints', async () => {
    const w = world();
    await w.apply(pretrain('removed', { budget: { steps: 5000 }, workers: { replicas: 2 } }));
    const run = await w.untilStep('removed', 10);
    const children = await childrenOf(w, run);
    assert.deepEqual(children.map(({ kind }) => kind).sort(), ['ConfigMap', 'Job', 'Pod', 'Pod', 'Service']);
    for (const { kind, metadata } of children.filter((child) => child.kind !== 'Pod')) {
      const [owner] = metadata.ownerReferences ?? [];
      assert.deepEqual([owner?.kind, owner?.uid, owner?.controller], ['PolarPretrain', run.metadata.uid, true], `owner of the ${kind}`);
    }
    const pods = podUidsOf(w, run);
    assert.ok(pods.every((uid) => processesOf(uid, 'polar.rank').length === 1), 'each worker has a rank');
    const directory = await pathOf(w, run.status?.checkpointDirectoryUri ?? '');

    await w.kubectl('delete', 'polarpretrain', 'removed', '--timeout=60s');
    await w.until('the pods of the deleted run are gone', 90, () => (pods.some((uid) => [...w.pods.now.values()].some((pod) => pod.metadata.uid === uid)) ? undefined : true));
    assert.deepEqual(await childrenOf(w, run), []);
    assert.deepEqual(pods.flatMap((uid) => processesOf(uid)), []);
    assert.ok(readdirSync(directory).some((name) => name.startsWith('step-')), 'checkpoints stay');
  });
};
