// Scale of the operator beside its peer, on one machine in one run; see README.md. Run by `make bench-operator`.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { localRoot, repositoryRoot } from '../../local/src/paths.ts';
import { measureCreations } from './creation.ts';
import { measureLatency } from './latency.ts';
import { measureLevels, sampleFamily, settled, writesSeen } from './memory.ts';
import { measurePeerMemory } from './peerMemory.ts';
import { JOBSET, KWOK, TRAINER } from './programs.ts';
import { printTable } from './table.ts';
import type { Results } from './table.ts';
import { startWorld } from './world.ts';
import type { World } from './world.ts';

const PARTS = ['create', 'memory', 'latency', 'peer', 'telemetry', 'failover'] as const;
type Part = (typeof PARTS)[number];

const startedAt = Date.now();
const tell = (text: string): void => console.log(`[${String(Math.round((Date.now() - startedAt) / 1000)).padStart(4)} s] ${text}`);

interface Options {
  readonly parts: ReadonlySet<Part>;
  readonly runs: number;
  readonly rounds: number;
  readonly turn: number;
  readonly restSeconds: number;
  readonly changes: number;
  readonly out: string | undefined;
  readonly quick: boolean;
}

const WHOLE = { runs: 10_000, rounds: 2, turn: 1000, restSeconds: 60, changes: 300 };
const QUICK = { runs: 200, rounds: 1, turn: 100, restSeconds: 5, changes: 50 };

const optionsOf = (args: readonly string[]): Options => {
  const { values } = parseArgs({ args: [...args], options: { part: { type: 'string' }, quick: { type: 'boolean', default: false }, runs: { type: 'string' }, turn: { type: 'string' }, out: { type: 'string' } } });
  const asked = values.part?.split('|') ?? [...PARTS];
  const unknown = asked.filter((part) => !(PARTS as readonly string[]).includes(part));
  if (unknown.length > 0) throw new Error(`--part: expected one or more of ${PARTS.join('|')}, got "${unknown.join('|')}"`);
  const { quick, runs, turn } = values;
  const size = quick ? QUICK : WHOLE;
  const committed = values.part === undefined && !quick ? join(repositoryRoot, 'bench/results/operator.json') : undefined;
  return { ...size, quick, parts: new Set(asked as Part[]), ...(runs === undefined ? {} : { runs: Number(runs) }), ...(turn === undefined ? {} : { turn: Number(turn) }), out: values.out ?? committed };
};

/** Gives work a cluster of its own, ended whatever happens. */
const inWorld = async <T>(work: (world: World) => Promise<T>): Promise<T> => {
  const world = await startWorld();
  try {
    return await work(world);
  } finally {
    await world.stop();
  }
};

const create = async (options: Options): Promise<Partial<Results>> => {
  const creation = await inWorld((world) => measureCreations(world, { count: options.turn, rounds: options.rounds, withPeer: options.parts.has('peer') }, tell));
  return {
    created_per_second: creation.ours.perSecond, ...(creation.peer === undefined ? {} : { peer_created_per_second: creation.peer.perSecond }), creation,
    cpu_seconds_per_write: { ours: creation.ours.cost.cpuSecondsPerWrite, peer: creation.peer?.cost.cpuSecondsPerWrite, deployment_controller: creation.deployments.cpuSecondsPerWrite },
  };
};

const memory = (options: Options): Promise<Partial<Results>> => inWorld(async (world) => {
  const family = await sampleFamily(world);
  const counts = [100, 1000, 10_000].filter((count) => count < options.runs);
  const { levels, operator } = await measureLevels(world, family, [...counts, options.runs], tell);
  const top = levels.at(-1);
  const before = await writesSeen(world);
  await sleep(options.restSeconds * 1000);
  const atRest = (await writesSeen(world)) - before;
  const afterRest = { rssMib: operator.rssMib(), peakMib: operator.peakMib() };
  tell(`at rest: ${atRest} writes in ${options.restSeconds} s, ${afterRest.rssMib.toFixed(0)} MiB`);
  const latency = options.parts.has('latency') ? await measureLatency(world.client, Math.min(options.changes, options.runs - 1), 10) : undefined;
  await settled(operator);
  await operator.stop();
  return {
    rss_mib_10k: Math.max(top?.rssMib ?? 0, afterRest.rssMib), cold_sync_seconds_10k: top?.coldSyncSeconds, writes_at_rest: atRest + (top?.writes ?? 0),
    growth: { levels, afterRest, latency }, ...(latency === undefined ? {} : { event_to_status_p99_ms: latency.p99Ms }),
  };
});

const peerMemory = (options: Options): Promise<Partial<Results>> => inWorld(async (world) => {
  const rss = await measurePeerMemory(world, options.runs, tell);
  return { peer_rss_mib_10k: Object.values(rss).reduce((total, mib) => total + mib, 0), peer_rss_mib: rss };
});

/** Runs a bench that writes JSON of its own. */
const script = (name: string, args: readonly string[]): Partial<Results> => {
  const [file, json] = [join(import.meta.dirname, name), join(localRoot, 'bench', `${name}.json`)];
  if (!existsSync(file)) return {};
  execFileSync(process.execPath, [file, ...args, '--json', json], { stdio: 'inherit' });
  return JSON.parse(readFileSync(json, 'utf8')) as Partial<Results>;
};

const steps: Readonly<Record<Part, ((options: Options) => Promise<Partial<Results>> | Partial<Results>) | undefined>> = {
  create, memory, latency: undefined, peer: peerMemory,
  telemetry: ({ quick }) => script('telemetry.ts', quick ? ['--runs', '50', '--streams', '4', '--seconds', '10'] : []),
  failover: () => script('failover.ts', []),
};

const machine = (): Results['machine'] => ({ cores: cpus().length, cpu: cpus()[0]?.model ?? '', memoryGib: Math.round(totalmem() / 2 ** 30), loadAverageAtStart: loadavg().map((value) => Math.round(value * 100) / 100) });

const versions = (): Readonly<Record<string, string>> => ({
  node: process.version, kubernetes: /k8s\.io\/kubernetes (v\S+)/.exec(readFileSync(join(repositoryRoot, 'local/tools/go.mod'), 'utf8'))?.[1] ?? '',
  kwok: KWOK.version, trainer: TRAINER.version, jobset: JOBSET.version,
});

const main = async (): Promise<void> => {
  const options = optionsOf(process.argv.slice(2));
  const started = machine();
  let results: Partial<Results> = {};
  for (const part of PARTS) {
    const step = steps[part];
    if (!options.parts.has(part) || step === undefined) continue;
    tell(part);
    results = { ...results, ...(await step(options)) };
  }
  const whole = { ...results, peer: `Kubeflow Trainer ${TRAINER.version} with JobSet ${JOBSET.version}`, runs: options.runs, machine: started, versions: versions(), seconds_in_all: Math.round((Date.now() - startedAt) / 1000) };
  printTable(whole);
  if (options.out === undefined) return;
  mkdirSync(dirname(options.out), { recursive: true });
  writeFileSync(options.out, `${JSON.stringify(whole, null, 1)}\n`);
  tell(`wrote ${options.out}`);
};

await main();
