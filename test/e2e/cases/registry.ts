import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RunStatus } from '../../../operator/src/api/status.ts';
import { assertWholeCurve } from '../checks.ts';
import { pretrain } from '../manifests.ts';
import { pathOf } from '../volume.ts';
import type { World } from '../world.ts';

const NAME = 'grown';

type Record = NonNullable<RunStatus['registry']>[number];

const stepsIn = (directory: string): string[] => readdirSync(directory).filter((name) => name.startsWith('step-'));

/** Waits until the registry has done another thing than before. */
const done = (w: World, task: Record['task'], outcome: Record['outcome'], before?: Record): Promise<Record> =>
  w.until(`registry ${task}: ${outcome}`, 90, () => {
    const record = w.run(NAME)?.status?.registry?.find((one) => one.task === task);
    return record?.outcome === outcome && record.key !== before?.key ? record : undefined;
  }, () => JSON.stringify(w.run(NAME)?.status?.registry));

const patch = (w: World, spec: object): Promise<string> => w.kubectl('patch', 'polarpretrain', NAME, '--type=merge', '-p', JSON.stringify({ spec }));
const verify = (w: World, value: string): Promise<string> => w.kubectl('annotate', '--overwrite', 'polarpretrain', NAME, `polar.training/verify-checkpoints=${value}`);

/** Turns over one byte of the largest file of a checkpoint. */
const damage = (checkpoint: string): void => {
  const file = join(checkpoint, readdirSync(checkpoint).find((name) => name.endsWith('.safetensors')) ?? '');
  const bytes = readFileSync(file);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  writeFileSync(file, bytes);
};

export const registryCases = (world: () => World): void => {
  test('a run that is complete goes on when its budget is raised, and its checkpoints are thinned out, verified and deleted without a worker', async () => {
    const w = world();
    await w.apply(pretrain(NAME, { budget: { steps: 20 }, checkpoint: { deletionPolicy: 'Delete' } }));
    await w.untilComplete(NAME);
    await patch(w, { budget: { steps: 40 } });
    await w.untilCondition(NAME, 'Complete', { status: 'False', timeoutSeconds: 30 });
    const { status } = await w.untilComplete(NAME);
    assert.deepEqual([status?.attempt, status?.restarts, status?.progress?.resumedFromStep, status?.progress?.step], [2, 0, 20, 40]);
    await assertWholeCurve(w, NAME, 40);

    const directory = await pathOf(w, status?.checkpointDirectoryUri ?? '');
    assert.ok(stepsIn(directory).length > 1);
    await patch(w, { checkpoint: { keepLast: 1, keepBest: 0 } });
    await done(w, 'gc', 'Succeeded');
    assert.deepEqual(stepsIn(directory), ['step-00000040']);
    await w.until('status lists what is left', 30, () => (w.run(NAME)?.status?.checkpoints?.history?.length === 1 ? true : undefined));

    await verify(w, 'first');
    const first = await done(w, 'verify', 'Succeeded');
    damage(join(directory, 'step-00000040'));
    await verify(w, 'second');
    assert.match((await done(w, 'verify', 'Failed', first)).message ?? '', /step-00000040.*safetensors/);

    await w.kubectl('delete', 'polarpretrain', NAME, '--wait=false');
    await w.until('the run is gone', 90, () => (w.run(NAME) === undefined ? true : undefined), () => JSON.stringify(w.run(NAME)?.status?.registry));
    assert.equal(existsSync(directory), false);
  });
};
