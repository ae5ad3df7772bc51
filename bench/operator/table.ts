// What the bench found, beside what it should find.
import type { Creation } from './creation.ts';
import type { Latency } from './latency.ts';
import type { Level } from './memory.ts';

export interface Results {
  readonly created_per_second: number;
  readonly rss_mib_10k: number;
  readonly cold_sync_seconds_10k: number | undefined;
  readonly writes_at_rest: number;
  readonly event_to_status_p99_ms: number;
  readonly telemetry_accept_p99_ms: number;
  readonly failover_seconds: number;
  readonly peer: string;
  readonly peer_created_per_second: number;
  readonly peer_rss_mib_10k: number;
  readonly peer_rss_mib: Readonly<Record<string, number>>;
  readonly cpu_seconds_per_write: { readonly ours: number; readonly peer: number | undefined; readonly deployment_controller: number };
  readonly creation: Creation;
  readonly growth: { readonly levels: readonly Level[]; readonly afterRest: { readonly rssMib: number; readonly peakMib: number }; readonly latency: Latency | undefined };
  readonly runs: number;
  readonly machine: { readonly cores: number; readonly cpu: string; readonly memoryGib: number; readonly loadAverageAtStart: readonly number[] };
  readonly versions: Readonly<Record<string, string>>;
  readonly seconds_in_all: number;
}

interface Row {
  readonly what: string;
  readonly value: number | undefined;
  readonly peer?: number | undefined;
  readonly target?: string;
  readonly isMet?: boolean | undefined;
}

const atMost = (value: number | undefined, limit: number): Pick<Row, 'target' | 'isMet'> => ({ target: `<= ${limit}`, isMet: value === undefined ? undefined : value <= limit });

const speedOf = ({ created_per_second: value, peer_created_per_second: peer = 0 }: Partial<Results>): Row => {
  const isMet = value === undefined ? undefined : value >= 43 && value >= peer;
  return { what: 'runs created -> Jobs created, per second', value, peer: peer === 0 ? undefined : peer, target: '>= 43 and >= peer', isMet };
};

const costsOf = ({ cpu_seconds_per_write: cpu, creation }: Partial<Results>): readonly Row[] => {
  if (cpu === undefined || creation === undefined) return [];
  const { ours, peer } = creation;
  return [
    { what: 'CPU ms per API write', value: cpu.ours * 1000, peer: thousand(cpu.peer) },
    { what: '  of the Deployment controller', value: cpu.deployment_controller * 1000 },
    { what: 'API writes per run', value: ours.writesPerRun, peer: peer?.writesPerRun },
    { what: 'CPU ms of API server and etcd per run', value: ours.serverCpuSecondsPerRun * 1000, peer: thousand(peer?.serverCpuSecondsPerRun) },
  ];
};

/** Absolute numbers hold for this machine in this run alone; ratios are what may be told. */
export const printTable = (results: Partial<Results>): void => {
  const { rss_mib_10k: rss, cold_sync_seconds_10k: cold } = results;
  const rows: readonly Row[] = [
    speedOf(results), ...costsOf(results),
    { what: `RSS beside ${results.runs ?? 0} runs, MiB`, value: rss, peer: results.peer_rss_mib_10k, ...atMost(rss, 250) },
    { what: 'cold start -> synced, s', value: cold, ...atMost(cold, 15) },
    { what: 'writes at rest and by reconciling all', value: results.writes_at_rest, ...atMost(results.writes_at_rest, 0) },
    { what: 'event -> status p99, ms', value: results.event_to_status_p99_ms, ...atMost(results.event_to_status_p99_ms, 1000) },
    { what: 'telemetry accepted p99, ms', value: results.telemetry_accept_p99_ms, ...atMost(results.telemetry_accept_p99_ms, 50) },
    { what: 'failover after a crash, s', value: results.failover_seconds, ...atMost(results.failover_seconds, 17) },
  ];
  console.log(`\n${'measure'.padEnd(44)}${'ours'.padStart(10)}${'peer'.padStart(10)}${'ratio'.padStart(8)}  target`);
  for (const row of rows) if (row.value !== undefined) console.log(line(row));
  for (const growth of growthOf(results.growth?.levels ?? [])) console.log(growth);
};

const thousand = (value: number | undefined): number | undefined => (value === undefined ? undefined : value * 1000);

const line = ({ what, value = NaN, peer, target, isMet }: Row): string => {
  const ratio = peer === undefined ? '' : (value / peer).toFixed(2);
  const verdict = target === undefined ? '' : `${target}: ${isMet === true ? 'met' : 'NOT met'}`;
  return `${what.padEnd(44)}${short(value).padStart(10)}${(peer === undefined ? '' : short(peer)).padStart(10)}${ratio.padStart(8)}  ${verdict}`;
};

const short = (value: number): string => (Number.isInteger(value) ? String(value) : value.toPrecision(3));

/** What each run adds at each level, above an operator with none. */
const growthOf = ([empty, ...levels]: readonly Level[]): readonly string[] => {
  if (empty === undefined) return [];
  return levels.map((level) => {
    const each = (value: (of: Level) => number): string => short((value(level) - value(empty)) / level.runs);
    return `  each of ${String(level.runs).padEnd(6)} runs: ${each(({ rssMib }) => rssMib * 1024)} KiB, ${each(({ cpuSeconds }) => cpuSeconds * 1000)} ms CPU to list and reconcile (cold ${short(level.coldSyncSeconds)} s, ${short(level.rssMib)} MiB, ${level.writes} writes)`;
  });
};
