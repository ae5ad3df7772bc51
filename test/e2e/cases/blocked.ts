import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertOneJobPerAttempt } from '../checks.ts';
import { claim, pretrain } from '../manifests.ts';
import { conditionOf, messageOf } from '../objects.ts';
import type { World } from '../world.ts';

const short = { budget: { steps: 10 } };

const endOf = (world: World, prefix: string): { readonly exitCode: number; readonly message?: string } | undefined => {
  const pod = [...world.pods.now.values()].find(({ metadata }) => metadata.name.startsWith(prefix));
  return pod?.status?.containerStatuses?.[0]?.state?.terminated;
};

export const blockedCases = (world: () => World): void => {
  test('a run with a missing volume says which and starts by itself when the volume is made', async () => {
    const w = world();
    await w.apply(pretrain('homeless', { ...short, checkpoint: { store: { pvc: 'late' } } }));
    const run = await w.untilCondition('homeless', 'Accepted', { status: 'False', reason: 'VolumeNotFound', timeoutSeconds: 20 });
    assert.match(messageOf(run, 'Accepted'), /no PersistentVolumeClaim "late" in namespace "e2e-/);
    await w.apply(claim('late'));
    await w.untilComplete('homeless');
  });

  test('a gang on a volume for one node says so', async () => {
    const w = world();
    await w.apply(claim('single', { mode: 'ReadWriteOnce' }), pretrain('unshared', { checkpoint: { store: { pvc: 'single' } }, workers: { replicas: 2 } }));
    const run = await w.untilCondition('unshared', 'Accepted', { status: 'False', reason: 'VolumeNotShared', timeoutSeconds: 20 });
    assert.match(messageOf(run, 'Accepted'), /2 workers need access mode ReadWriteMany, PersistentVolumeClaim "single" has ReadWriteOnce/);
  });

  test('a wrong image is told with the node\'s words, and another image makes the run go on', async () => {
    const w = world();
    await w.apply(pretrain('misspelt', { ...short, workers: { image: 'polar.training/trainee:dev' } }));
    const run = await w.untilCondition('misspelt', 'Stalled', { reason: 'ImagePullFailed', timeoutSeconds: 30 });
    assert.match(messageOf(run, 'Stalled'), /worker 0 .*polar\.training\/trainee:dev/);
    await w.kubectl('patch', 'polarpretrain', 'misspelt', '--type=merge', '-p', '{"spec":{"workers":{"image":"polar.training/trainer:dev"}}}');
    const done = await w.untilComplete('misspelt');
    assert.deepEqual([done.status?.attempt, done.status?.restarts], [2, 0], 'attempt and restarts');
    assertOneJobPerAttempt(w, done.metadata.uid, 2);
    assert.equal(conditionOf(done, 'Stalled')?.status, 'False');
  });

  test('workers that fit on no node are told with the scheduler\'s words and fail at the start deadline', async () => {
    const w = world();
    await w.apply(pretrain('huge', { workers: { resources: { requests: { cpu: '1000' } } }, recovery: { startDeadlineSeconds: 10 } }));
    const stalled = await w.untilCondition('huge', 'Stalled', { reason: 'Unschedulable', timeoutSeconds: 10 });
    assert.match(messageOf(stalled, 'Stalled'), /Insufficient cpu/);
    const failed = await w.untilCondition('huge', 'Failed', { reason: 'StartDeadlineExceeded', timeoutSeconds: 30 });
    assert.match(messageOf(failed, 'Failed'), /within 10 seconds: Unschedulable: .*Insufficient cpu/);
  });

  test('a config that the trainer does not know fails the run with the key that is too much', async () => {
    const w = world();
    // What an operator newer than the trainer's image would write: the config is changed while the worker waits for a node.
    const label = 'e2e.polar.training/late';
    await w.apply(pretrain('newer', { workers: { podTemplate: { nodeSelector: { [label]: 'yes' } } } }));
    await w.untilCondition('newer', 'Stalled', { reason: 'Unschedulable', timeoutSeconds: 20 });
    const { data } = await w.get<{ data: Record<string, string> }>('configmap', 'newer-pretrain-1');
    const config = JSON.parse(data['run.json'] ?? '') as { optimizer: object };
    const changed = { data: { 'run.json': JSON.stringify({ ...config, optimizer: { ...config.optimizer, momentum: '0.9' } }) } };
    await w.kubectl('patch', 'configmap', 'newer-pretrain-1', '--type=merge', '-p', JSON.stringify(changed));
    await w.kubectl('label', 'nodes', '--all', `${label}=yes`, '--overwrite');
    const run = await w.untilCondition('newer', 'Failed', { reason: 'ConfigInvalid', timeoutSeconds: 60 });
    await w.kubectl('label', 'nodes', '--all', `${label}-`);
    assert.match(messageOf(run, 'Failed'), /optimizer\.momentum/);
    const { exitCode, message = '' } = endOf(w, 'newer-pretrain-1-0') ?? {};
    assert.equal(exitCode, 10);
    assert.equal((JSON.parse(message) as { reason: string }).reason, 'ConfigInvalid');
    assert.equal(run.status?.attempt, 1);
  });
};
