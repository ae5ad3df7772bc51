// How much more may be started: runs, GPUs, FLOPs and GPU-hours. Pure.
import type { SweepSpec } from '../api/sweep.ts';
import type { SweepRun } from './observed.ts';
import { estimatedHours } from './spend.ts';
import type { Ledger } from './spend.ts';

const HOUR_SECONDS = 3600;

export type Limit = 'parallelism' | 'maxGpus' | 'budget.flops' | 'budget.gpuHours' | 'unmeasured' | 'fit';

/** What is left after everything that was started. */
export interface Capacity {
  readonly runs: number;
  readonly processes: number;
  readonly flops: number;
  /** After what running runs need to save; infinite when there is no bound. */
  readonly gpuHours: number;
  /** There is a bound on GPU-hours, and no run has shown yet how fast it is. */
  readonly isUnmeasured: boolean;
}

/** What a run takes. */
export interface Need {
  readonly processes: number;
  readonly flops: number;
  readonly gpuHours: number;
}

/** Training processes of a run of this sweep: GPUs, or workers where there are none. */
export function processesOf({ template: { workers: { replicas, gpusPerWorker } } }: SweepSpec): number {
  return replicas * Math.max(1, gpusPerWorker);
}

/** Hours of one process times processes until a run that is asked to stop has saved, at the longest. */
export function savingHours({ template: { recovery: { saveTimeoutSeconds } } }: SweepSpec, processes: number): number {
  return processes * saveTimeoutSeconds / HOUR_SECONDS;
}

export function capacityOf(spec: SweepSpec, open: readonly SweepRun[], { spent, reserved, rates }: Ledger): Capacity {
  const active = open.filter(({ state }) => state === 'Active');
  const busy = active.reduce((sum, { processes }) => sum + processes, 0);
  const { flops = 'Infinity', gpuHours = 'Infinity' } = spec.budget ?? {};
  return {
    runs: spec.parallelism - active.length, processes: (spec.maxGpus ?? Infinity) - busy,
    flops: Number(flops) - spent.flops - reserved.flops,
    gpuHours: gpuHours === 'Infinity' ? Infinity : Number(gpuHours) - spent.gpuHours - finite(reserved.gpuHours) - savingHours(spec, busy),
    isUnmeasured: gpuHours !== 'Infinity' && rates.length === 0,
  };
}

/** Of a run that was not started yet. Without any measurement only its saving is counted: it then runs alone. */
export function needOf(spec: SweepSpec, { rates }: Ledger, of: { readonly parameters: number; readonly flops: number }): Need {
  const processes = processesOf(spec);
  return { processes, flops: of.flops, gpuHours: finite(estimatedHours(rates, of.parameters, of.flops)) + savingHours(spec, processes) };
}

/** What keeps a run from being started; undefined when nothing does. */
export function limitOf(left: Capacity, need: Need, openRuns: number): Limit | undefined {
  if (left.runs < 1) return 'parallelism';
  if (left.processes < need.processes) return 'maxGpus';
  if (left.flops < need.flops) return 'budget.flops';
  if (left.gpuHours < need.gpuHours) return 'budget.gpuHours';
  return left.isUnmeasured && openRuns > 0 ? 'unmeasured' : undefined;
}

export function after(left: Capacity, need: Need): Capacity {
  return { ...left, runs: left.runs - 1, processes: left.processes - need.processes, flops: left.flops - need.flops, gpuHours: left.gpuHours - need.gpuHours };
}

/** Milliseconds until running runs have to be asked to stop, so that they have saved before budget.gpuHours is spent; Infinity without such a bound, 0 or less when it is time. */
export function millisToStop(spec: SweepSpec, open: readonly SweepRun[], { spent }: Ledger): number {
  const busy = open.filter(({ state, status }) => state === 'Active' && status.startTime !== undefined).reduce((sum, { processes }) => sum + processes, 0);
  const { gpuHours } = spec.budget ?? {};
  if (gpuHours === undefined || busy === 0) return Infinity;
  return (Number(gpuHours) - spent.gpuHours - savingHours(spec, busy)) / busy * HOUR_SECONDS * 1000;
}

function finite(hours: number): number {
  return Number.isFinite(hours) ? hours : 0;
}
