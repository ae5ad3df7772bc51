// What a sweep has spent and what it has set aside. Pure. FLOPs are 6 N D of every run that was started; GPU-hours are the
// time that runs have had their workers, and for what is left an estimate from what was measured.
import { millisOf } from '../run/instant.ts';
import type { SweepRun } from './observed.ts';
import type { RunRecord } from './point.ts';

const HOUR_SECONDS = 3600;
/** Estimates of time take so much more than what was measured. */
const CAUTION = 1.15;

/** How fast runs of a size are, start and validations included. */
export interface Rate {
  readonly parameters: number;
  /** Naive FLOPs in an hour of one process. */
  readonly flopsPerHour: number;
}

/** A run that has not ended, with what it was started for. */
export interface Open {
  readonly run: SweepRun;
  readonly parameters: number;
  readonly plannedFlops: number;
  readonly tokensBefore: number;
}

export interface Amounts { readonly flops: number; readonly gpuHours: number }

export interface Ledger {
  readonly spent: Amounts;
  /** Infinite GPU-hours: nothing was measured yet. */
  readonly reserved: Amounts;
  readonly rates: readonly Rate[];
}

/** Everything that was started. */
export function ledgerOf(records: readonly RunRecord[], open: readonly Open[], now: string): Ledger {
  const rates = ratesOf(records, open, now);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const doneFlops = open.map(flopsSoFar);
  const hours = open.map(({ run }) => processHours(run, now));
  return {
    spent: { flops: sum(records.map(({ spentFlops }) => spentFlops)) + sum(doneFlops), gpuHours: sum(records.map(({ gpuHours }) => gpuHours)) + sum(hours) },
    reserved: {
      flops: sum(open.map(({ plannedFlops }, index) => Math.max(0, plannedFlops - (doneFlops[index] ?? 0)))),
      gpuHours: sum(open.map((one, index) => remainingHours(rates, one, doneFlops[index] ?? 0))),
    },
    rates,
  };
}

/** Hours of one process times processes that a run has had its workers, waiting for quota and suspension left out. */
export function processHours({ status, final, processes }: SweepRun, now: string): number {
  const { startTime, completionTime, idleSeconds = 0, idleSince } = final ?? status;
  if (startTime === undefined) return 0;
  const end = millisOf(completionTime ?? now);
  const idleNow = idleSince === undefined || completionTime !== undefined ? 0 : Math.max(0, end - millisOf(idleSince)) / 1000;
  return processes * Math.max(0, (end - millisOf(startTime)) / 1000 - idleSeconds - idleNow) / HOUR_SECONDS;
}

/** Hours of one process that so many FLOPs take, by the rate of the nearest size; infinite when nothing was measured. */
export function estimatedHours(rates: readonly Rate[], parameters: number, flops: number): number {
  const distance = (rate: Rate): number => Math.abs(Math.log(rate.parameters / parameters));
  const nearest = rates.reduce<Rate | undefined>((best, rate) => (best === undefined || distance(rate) < distance(best) ? rate : best), undefined);
  return nearest === undefined ? Infinity : CAUTION * flops / nearest.flopsPerHour;
}

function remainingHours(rates: readonly Rate[], { parameters, plannedFlops }: Open, done: number): number {
  return done >= plannedFlops ? 0 : estimatedHours(rates, parameters, plannedFlops - done);
}

function flopsSoFar({ run: { status: { progress } }, parameters, plannedFlops, tokensBefore }: Open): number {
  const tokens = progress?.stage === 'WarmStart' ? 0 : Math.max(0, (progress?.tokens ?? 0) - tokensBefore);
  return Math.min(plannedFlops, 6 * parameters * tokens);
}

/** The slowest of each size. */
function ratesOf(records: readonly RunRecord[], open: readonly Open[], now: string): readonly Rate[] {
  const ended = records.filter(({ outcome }) => outcome === 'Succeeded' || outcome === 'Stopped')
    .map(({ parametersWithoutEmbedding: parameters, spentFlops: flops, gpuHours: hours }) => ({ parameters, flops, hours }));
  const running = open.map((one) => ({ parameters: one.parameters, flops: flopsSoFar(one), hours: processHours(one.run, now) }));
  const slowest = new Map<number, number>();
  for (const { parameters, flops, hours } of [...ended, ...running]) {
    if (parameters > 0 && flops > 0 && hours > 0) slowest.set(parameters, Math.min(flops / hours, slowest.get(parameters) ?? Infinity));
  }
  return [...slowest].map(([parameters, flopsPerHour]) => ({ parameters, flopsPerHour }));
}
