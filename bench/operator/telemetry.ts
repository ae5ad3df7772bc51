// How fast ingest takes reports in: a real API server, the real ingest process on a core of its own, real gRPC clients
// with real tokens on the others.
//
// Usage: node bench/operator/telemetry.ts [--runs 2000] [--streams 100] [--seconds 60] [--json FILE]
//
// 1. `runs` streams, one per run, each on its own TLS connection, report every 5 s. Accept time is from handing a message
//    to gRPC in the client to the response that says accepted_seq: TLS, parsing, checking and merging both ways included;
//    acknowledgement time is until the response that says acked_seq, when the API server has it.
// 2. `streams` streams send batches of 100 points as fast as they are taken; points count once they are acknowledged.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { execFileSync } from 'node:child_process';
import { aRunNamed, setUp } from './telemetryWorld.ts';
import type { Member, Outcome, Plan } from './telemetryClient.ts';
import type { Usage } from './telemetryServer.ts';

const { values } = parseArgs({ options: { runs: { type: 'string', default: '2000' }, streams: { type: 'string', default: '100' }, seconds: { type: 'string', default: '60' }, json: { type: 'string' } } });
const [runs, streams, seconds] = [Number(values.runs), Number(values.streams), Number(values.seconds)];

const SERVER_CORE = '0';
const others = availableParallelism() > 1 ? `1-${availableParallelism() - 1}` : '0';

function child(script: string, core: string, env: Readonly<Record<string, string>>): ChildProcess {
  const path = join(import.meta.dirname, script);
  return spawn('taskset', ['-c', core, process.execPath, path], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, ...env } });
}

async function messageOf<T>(from: ChildProcess): Promise<T> {
  const [message] = (await Promise.race([once(from, 'message'), once(from, 'exit').then(([code]) => Promise.reject(new Error(`${from.spawnargs.join(' ')} ended with ${String(code)}`)))])) as [T];
  return message;
}

async function usageOf(server: ChildProcess): Promise<Usage> {
  server.send('usage');
  return messageOf<Usage>(server);
}

interface Phase {
  readonly outcome: Outcome;
  readonly before: Usage;
  readonly after: Usage;
}

async function phase(server: ChildProcess, plan: Plan): Promise<Phase> {
  const client = child('telemetryClient.ts', others, {});
  client.send(plan);
  await messageOf(client);
  const before = await usageOf(server);
  await messageOf(client);
  const after = await usageOf(server);
  return { outcome: await messageOf<Outcome>(client), before, after };
}

function quantile(sorted: readonly number[], share: number): number {
  return Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN).toFixed(2));
}

/** The least upper bound of the server's own histogram below which that share of the reports was merged, in milliseconds. */
function boundOf({ before, after }: Phase, share: number): number {
  const counts = after.accept.map(([le, count], i) => [le, count - (before.accept[i]?.[1] ?? 0)] as const);
  const all = counts.at(-1)?.[1] ?? 0;
  return (counts.find(([, count]) => count >= all * share)?.[0] ?? Number.NaN) * 1000;
}

function rates({ before, after }: Phase): Record<string, number> {
  const per = (name: 'cpuSeconds' | 'points' | 'messages' | 'statusWrites' | 'conflicts'): number => (after[name] - before[name]) / seconds;
  return {
    cpu_share: Number(per('cpuSeconds').toFixed(3)), messages_per_second: Math.round(per('messages')), status_writes_per_second: Number(per('statusWrites').toFixed(1)),
    conflicts: after.conflicts - before.conflicts, rss_mib: Math.round(after.rssMib), open_streams: after.streams,
  };
}

execFileSync('taskset', ['-pc', others, String(process.pid)], { stdio: 'ignore' });
const set = await setUp();
const startedAt = performance.now();
const members: Member[] = [];
for (let from = 0; from < runs; from += 40) {
  members.push(...await Promise.all(Array.from({ length: Math.min(40, runs - from) }, (_, i) => aRunNamed(set, `run-${from + i}`))));
}
console.log(`${runs} runs with Job, pod and token made in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
const server = child('telemetryServer.ts', SERVER_CORE, { KUBECONFIG: set.kubeconfigPath });
const target = await messageOf<{ port: number; caPem: string }>(server);

const many = await phase(server, { ...target, members, pointsPerMessage: 3, everySeconds: 5, window: 64, connectSeconds: Math.max(5, runs / 50), warmUpSeconds: 25, seconds });
const result: Record<string, unknown> = {
  telemetry_runs: runs, telemetry_accept_p50_ms: quantile(many.outcome.acceptMs, 0.5), telemetry_accept_p99_ms: quantile(many.outcome.acceptMs, 0.99),
  telemetry_accept_max_ms: quantile(many.outcome.acceptMs, 1), telemetry_merge_p99_below_ms: boundOf(many, 0.99),
  telemetry_ack_p50_ms: quantile(many.outcome.ackMs, 0.5), telemetry_ack_p99_ms: quantile(many.outcome.ackMs, 0.99),
  telemetry_reconnects: many.outcome.reconnects, telemetry_load: rates(many),
};
console.log(JSON.stringify(result, null, 1));

const sent = many.outcome.sent;
const fast = members.slice(0, streams).map((member, i) => ({ ...member, sentBefore: sent[i] ?? 0 }));
const flood = await phase(server, { ...target, members: fast, pointsPerMessage: 100, everySeconds: 0, window: 256, connectSeconds: 2, warmUpSeconds: 5, seconds: Math.min(seconds, 30) });
const floodSeconds = Math.min(seconds, 30);
Object.assign(result, {
  telemetry_points_per_second: Math.round(flood.outcome.ackedPoints / floodSeconds), telemetry_flood_streams: streams,
  telemetry_flood_accept_p99_ms: quantile(flood.outcome.acceptMs, 0.99), telemetry_flood_ack_p99_ms: quantile(flood.outcome.ackMs, 0.99),
  telemetry_flood_cpu_share: Number(((flood.after.cpuSeconds - flood.before.cpuSeconds) / floodSeconds).toFixed(3)),
  telemetry_flood_rss_mib: Math.round(flood.after.rssMib),
});
console.log(JSON.stringify(result, null, 1));
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(result, null, 1)}\n`);
server.disconnect();
await once(server, 'exit');
await set.tearDown();
process.exit(0);
