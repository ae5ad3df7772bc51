// A scaling law measured by real PolarSweeps on an embedded cluster; docs/scaling.md explains it. Run by `make bench-sweep`
// on the toy pool and by `make sweep-real` on a folder of answers.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { localRoot, repositoryRoot } from '../../local/src/paths.ts';
import { sweepSpec } from '../../operator/src/api/sweep.ts';
import type { PointRecord } from '../../operator/src/sweep/point.ts';
import { startCluster, untilJobEnds } from './cluster.ts';
import type { Cluster } from './cluster.ts';
import { follow } from './follow.ts';
import { attempt, lawsOf } from './laws.ts';
import { POOL_JOB, dataObjects, gridSweep, plannedSweep } from './manifests.ts';
import { confirmationOf, limitsOf, replayOf, targetOf } from './planned.ts';
import type { Confirmation, Replayed } from './planned.ts';
import { settingOf } from './setting.ts';
import type { Setting } from './setting.ts';
import { printTables } from './table.ts';
import type { ResultPoint, Results } from './table.ts';

const HELP = `Usage: node bench/sweep/bench.ts [--data DIR] [--quick] [--records FILE] [--out FILE]

  --data DIR     train on DIR/trajectories.jsonl.gz instead of the toy pool
  --quick        a few steps of four sizes: whether everything works, numbers mean nothing (about three minutes)
  --records FILE train nothing: fit what an earlier grid measured, as kept in .local/bench/sweep-NAME-records.json
  --out FILE     where the result goes; default bench/results/sweep.json for a whole run on the toy pool, else below .local`;

interface Options {
  readonly setting: Setting;
  readonly records: string | undefined;
  readonly out: string;
}

const machine: Results['machine'] = { cores: cpus().length, cpu: cpus()[0]?.model ?? '', memory_gib: Math.round(totalmem() / 2 ** 30), load_at_start: Math.round(100 * (loadavg()[0] ?? 0)) / 100 };

const startedAt = Date.now();
const tell = (text: string): void => { console.log(`[${String(Math.round((Date.now() - startedAt) / 1000)).padStart(5)} s] ${text}`); };

const optionsOf = (args: readonly string[]): Options | undefined => {
  const { values } = parseArgs({ args: [...args], options: { data: { type: 'string' }, quick: { type: 'boolean', default: false }, records: { type: 'string' }, out: { type: 'string' }, help: { type: 'boolean', default: false } } });
  if (values.help) return undefined;
  const folder = values.data === undefined ? undefined : resolve(values.data);
  if (folder !== undefined && !existsSync(join(folder, 'trajectories.jsonl.gz'))) throw new Error(`--data: expected a folder with trajectories.jsonl.gz, got ${folder}`);
  const setting = settingOf({ isQuick: values.quick, folder });
  const committed = setting.name === 'toy' && values.records === undefined;
  return { setting, records: values.records, out: values.out ?? (committed ? join(repositoryRoot, 'bench/results/sweep.json') : join(localRoot, 'bench', `sweep-${setting.name}.json`)) };
};

interface Measurement {
  readonly records: readonly PointRecord[];
  readonly failed: number;
  readonly planned?: (replayed: Replayed) => Promise<Confirmation>;
}

/** Gives work the measured grid, on a cluster that ends whatever happens. */
const withGrid = async <T>(setting: Setting, work: (measured: Measurement) => Promise<T>): Promise<T> => {
  tell('starting a cluster');
  const cluster = await startCluster();
  try {
    return await work(await measured(cluster, setting));
  } finally {
    await cluster.stop();
  }
};

const measured = async (cluster: Cluster, setting: Setting): Promise<Measurement> => {
  await cluster.apply(...dataObjects(setting));
  if ('arguments' in setting.pool) await untilJobEnds(cluster, POOL_JOB, 600);
  tell('the data is there');
  await cluster.apply(gridSweep(setting));
  const { records, points } = await follow(cluster, 'grid', { minutes: setting.minutes, tell });
  const ended = records.filter((record): record is PointRecord => record.outcome !== undefined);
  keep(setting, ended);
  writeFileSync(join(localRoot, 'bench', `sweep-${setting.name}.svg`), await cluster.polar('sweep', 'grid', '-o', 'svg'));
  return {
    records: ended, failed: points.failed ?? 0,
    planned: async (replayed) => {
      const limits = limitsOf(replayed);
      await cluster.apply(plannedSweep(setting, replayed.target, limits));
      return confirmationOf(await follow(cluster, 'planned', { minutes: setting.minutes, tell }), replayed, limits.precisionPercent);
    },
  };
};

const keep = ({ name }: Setting, records: readonly PointRecord[]): void => {
  mkdirSync(join(localRoot, 'bench'), { recursive: true });
  writeFileSync(join(localRoot, 'bench', `sweep-${name}-records.json`), JSON.stringify(records));
};

const pointOf = ({ id, point: { size, seed }, parametersWithoutEmbedding, steps, tokens, naiveFlops, valLoss = Number.NaN, valLossStandardError, unseenLoss, gpuHours }: PointRecord): ResultPoint =>
  ({ id, size, parameters: parametersWithoutEmbedding, steps, tokens, flops: naiveFlops, loss: valLoss, standard_error: valLossStandardError, unseen_loss: unseenLoss, seed, hours: gpuHours });

const resultsOf = async (setting: Setting, { records, failed, planned }: Measurement): Promise<Results> => {
  const fit = sweepSpec.shape.fit.parse({ policies: 'seen' });
  const laws = lawsOf(records, fit);
  const replay = replayOf(records, targetOf(records));
  tell(`replayed: ${replay.planned_flops_over_grid.toFixed(2)} of the grid's FLOPs`);
  const hasUnseen = records.some(({ unseenLoss }) => unseenLoss !== undefined);
  return {
    data: setting.name, points: records.filter(({ outcome }) => outcome === 'Succeeded').map(pointOf).sort((a, b) => a.parameters - b.parameters || a.steps - b.steps || a.seed - b.seed), failed, ...laws,
    planned_flops_over_grid: replay.planned_flops_over_grid, replay, planned_run: await planned?.(replay).catch((error: unknown) => String(error)),
    unseen: hasUnseen ? attempt(() => lawsOf(records, { ...fit, policies: 'unseen' })) : undefined, machine, seconds: Math.round((Date.now() - startedAt) / 1000),
  };
};

const main = async (): Promise<void> => {
  const options = optionsOf(process.argv.slice(2));
  if (options === undefined) {
    console.log(HELP);
    return;
  }
  const { setting, records, out } = options;
  const work = (found: Measurement): Promise<Results> => resultsOf(setting, found);
  const results = records === undefined ? await withGrid(setting, work) : await work({ records: JSON.parse(readFileSync(records, 'utf8')) as PointRecord[], failed: 0 });
  printTables(results);
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, `${JSON.stringify(results, null, 1)}\n`);
  tell(`wrote ${out}`);
};

await main();
