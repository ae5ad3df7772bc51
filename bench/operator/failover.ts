// How long nobody reconciles after the leader is killed, and after it is asked to stop: from the signal to the Job of a run that was created at that moment.
//
//   node bench/operator/failover.ts [--rounds N] [--json FILE]
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { freePorts } from '../../local/src/controlplane/ports.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { JOBS } from '../../operator/src/run/objects.ts';
import { LEASES } from '../../operator/src/runtime/lease.ts';
import type { Lease } from '../../operator/src/runtime/lease.ts';
import { create, get } from '../../operator/src/runtime/verbs.ts';
import { ourRun } from './ours.ts';
import { startMeasured, until } from './process.ts';
import type { Measured } from './process.ts';
import { NAMESPACE, startWorld } from './world.ts';
import type { World } from './world.ts';

const OPERATOR_NAMESPACE = 'polar-system';
const LEASE = { namespace: OPERATOR_NAMESPACE, name: 'polar-operator' };

interface Replica extends Measured { readonly health: number }
type Signal = 'SIGKILL' | 'SIGTERM';

let started = 0;

async function startReplica(world: World): Promise<Replica> {
  const [ingest = 0, metrics = 0, health = 0] = await freePorts(3);
  const name = `replica-${started += 1}`;
  const ports = ['--ingest-port', String(ingest), '--metrics-port', String(metrics), '--health-port', String(health)];
  const measured = startMeasured(name, {
    file: process.execPath, args: [`${repositoryRoot}/operator/src/main.ts`, '--namespace', OPERATOR_NAMESPACE, '--log-level', 'warn', ...ports],
    env: { KUBECONFIG: world.kubeconfig, POD_NAME: name, POD_UID: name }, logFile: world.logOf(name),
  });
  await until(`${name} is ready`, async () => (await fetch(`http://127.0.0.1:${health}/readyz`).catch(() => undefined))?.status === 200);
  return { ...measured, health };
}

async function leaderOf(world: World, replicas: readonly Replica[]): Promise<Replica> {
  let leader: Replica | undefined;
  await until('a replica leads', async () => {
    const holder = (await get<Lease>(world.client, LEASES, LEASE))?.spec?.holderIdentity;
    leader = replicas.find(({ name, isAlive }) => isAlive() && holder === `${name}_${name}`);
    return leader !== undefined;
  });
  return leader as Replica;
}

async function jobOf(world: World, run: string): Promise<void> {
  await until(`a Job of ${run}`, async () => (await get(world.client, JOBS, { namespace: NAMESPACE, name: `${run}-pretrain-1` })) !== undefined);
}

/** Seconds from the signal to the first work of the other replica. */
async function round(world: World, replicas: Replica[], signal: Signal): Promise<number> {
  const leader = await leaderOf(world, replicas);
  // At any moment between two renewals.
  await sleep(2500 + Math.random() * 2000);
  const run = `failover-${started}`;
  const from = performance.now();
  process.kill(leader.pid, signal);
  await create(world.client, RUN_RESOURCES.PolarPretrain, ourRun(run));
  await jobOf(world, run);
  const seconds = (performance.now() - from) / 1000;
  console.error(`${signal}: ${seconds.toFixed(2)} s`);
  replicas.splice(replicas.indexOf(leader), 1, await startReplica(world));
  return seconds;
}

function summary(seconds: readonly number[]): number {
  return Number(Math.max(...seconds).toFixed(2));
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' }, json: { type: 'string' } } });
const world = await startWorld();
try {
  const replicas = [await startReplica(world), await startReplica(world)];
  const measured: Record<Signal, number[]> = { SIGKILL: [], SIGTERM: [] };
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) for (let count = 0; count < Number(values.rounds); count++) measured[signal].push(await round(world, replicas, signal));
  // The slowest of all rounds is what is told.
  const result = {
    failover_seconds: summary(measured.SIGKILL), graceful_failover_seconds: summary(measured.SIGTERM),
    failover_rounds_seconds: measured.SIGKILL.map((one) => Number(one.toFixed(2))), graceful_failover_rounds_seconds: measured.SIGTERM.map((one) => Number(one.toFixed(2))),
  };
  console.log(JSON.stringify(result, null, 2));
  if (values.json !== undefined) {
    mkdirSync(dirname(values.json), { recursive: true });
    writeFileSync(values.json, `${JSON.stringify(result, null, 2)}\n`);
  }
  for (const replica of replicas) await replica.stop();
} finally {
  await world.stop();
}
