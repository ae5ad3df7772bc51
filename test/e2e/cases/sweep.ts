import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { clusterPaths, repositoryRoot } from '../../../local/src/paths.ts';
import type { SweepStatus } from '../../../operator/src/api/sweepStatus.ts';
import { sweep } from '../manifests.ts';
import { conditionOf, isTrue } from '../objects.ts';
import type { Run, Sweep } from '../objects.ts';
import { operatorsOf } from '../operator.ts';
import { OPERATOR, killAll, processesOf, processesWith } from '../processes.ts';
import type { World } from '../world.ts';

const SMALL = [16, 24, 32];

/** What the sweep's ends must agree in, whatever happened on the way. */
const outcomeOf = ({ fits, points, failures }: SweepStatus): object => ({ fits, points, failures });

const untilDone = (world: World, name: string): Promise<Sweep> => world.until(`sweep ${name} is Complete and Fitted`, 300, () => {
  const found = world.sweeps.now.get(name);
  assert.ok(!isTrue(found, 'Failed'), `sweep ${name}: ${conditionOf(found, 'Failed')?.message ?? ''}`);
  return isTrue(found, 'Complete') && isTrue(found, 'Fitted') ? found : undefined;
}, () => JSON.stringify(world.sweeps.now.get(name)?.status?.points));

const runsOf = (world: World, name: string): readonly Run[] =>
  [...world.runs.PolarPretrain.now.values()].filter(({ metadata }) => metadata.labels?.['polar.training/sweep'] === name);

/** Waits for a run of the sweep that trains, and not one of `but`. */
const untilOneTrains = (world: World, name: string, but: readonly string[] = []): Promise<Run> => world.until(`a run of sweep ${name} trains`, 120, () =>
  runsOf(world, name).find(({ metadata, status }) => status?.progress?.stage === 'Training' && (status.progress.step ?? 0) >= 2 && !but.includes(metadata.name)));

const polar = async (world: World, ...args: string[]): Promise<string> => {
  const program = join(repositoryRoot, 'operator/src/cli/main.ts');
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...args, '-n', world.namespace, '--kubeconfig', clusterPaths(world.dir).kubeconfig]);
  return stdout;
};

export const sweepCases = (world: () => World): void => {
  test('a sweep fits the same laws when the operator and a trainer are killed and its axes change on the way', async () => {
    const w = world();
    await w.apply(sweep('calm', SMALL));
    const calm = await untilDone(w, 'calm');

    await w.apply(sweep('shaken', [16, 40]));
    const hurt = await untilOneTrains(w, 'shaken');
    const pod = [...w.pods.now.values()].find((one) => one.metadata.labels?.['polar.training/run-uid'] === hurt.metadata.uid);
    await killAll(processesOf(pod?.metadata.uid ?? '', 'polar.rank'), `the trainer of ${hurt.metadata.name}`);
    await w.apply(sweep('shaken', SMALL));
    for (const { name } of await operatorsOf(w)) await killAll(processesWith(`POD_NAME=${name}`, OPERATOR), `the operator's replica ${name}`);
    const shaken = await untilDone(w, 'shaken');

    assert.equal(calm.status?.points?.succeeded, SMALL.length * 2);
    assert.deepEqual(outcomeOf(shaken.status ?? {}), outcomeOf(calm.status));
    assert.ok(runsOf(w, 'shaken').every(({ metadata }) => !w.runs.PolarPretrain.history.some(({ type, object }) => type === 'ADDED' && object.metadata.name === metadata.name && object.metadata.uid !== metadata.uid)), 'no run was made twice');
  });

  test('kubectl polar shows the law that is in status, and draws it', async () => {
    const w = world();
    const { status } = await untilDone(w, 'calm');
    const said = JSON.parse(await polar(w, 'sweep', 'calm', '-o', 'json')) as Pick<SweepStatus, 'fits'>;
    assert.deepEqual(said.fits, status?.fits);
    assert.match(await polar(w, 'sweep', 'calm', '-o', 'svg'), /^<svg .*<\/svg>\s*$/s);
  });
};
