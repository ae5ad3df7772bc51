// The status of a sweep, from what was observed, planned and could not be done. Pure.
import type { Condition } from '../api/status.ts';
import type { SweepPhase } from '../api/reasons.ts';
import type { SweepStatus } from '../api/sweepStatus.ts';
import { isTrue } from '../run/objects.ts';
import { millisOf, rfc3339 } from '../run/instant.ts';
import { conditionsOf } from './conditions.ts';
import type { Told } from './conditions.ts';
import { describePoint } from './naming.ts';
import type { Sweep } from './observed.ts';
import type { Plan } from './plan.ts';
import type { PointState, Situation } from './situation.ts';
import type { Amounts } from './spend.ts';

const MAX_FAILURES = 20;
const MAX_NEXT = 10;
const DIGITS = 6;
/** Amounts move all the time; on their own they are written when they have moved by this share. */
const WORTH_A_WRITE = 0.02;

export function statusOf(told: Told): SweepStatus {
  const { seen: { sweep, now }, plan } = told;
  const conditions = conditionsOf(told);
  const next: SweepStatus = defined({
    observedGeneration: sweep.metadata.generation, conditions, phase: phaseOf(conditions, plan),
    ...(plan === undefined ? keptCounts(sweep.status) : countsOf(plan, sweep.status, now)),
    ...told.fit.fields,
    completionTime: completionTime(sweep, conditions, now),
  });
  return steadied(sweep.status, next);
}

/** Whether writing it would change anything. */
export function differs(sweep: Sweep, next: SweepStatus): boolean {
  return !isSame(sweep.status, next);
}

function phaseOf(conditions: readonly Condition[], plan: Plan | undefined): SweepPhase {
  if (isTrue(conditions, 'Failed') !== undefined) return 'Failed';
  if (isTrue(conditions, 'Complete') !== undefined) return 'Complete';
  if (isTrue(conditions, 'Suspended') !== undefined) return 'Suspended';
  const progressing = isTrue(conditions, 'Progressing');
  if (progressing?.reason === 'Stopping') return 'Stopping';
  return progressing !== undefined || plan?.situation.records.length !== 0 ? (plan === undefined ? 'Pending' : 'Running') : 'Pending';
}

function countsOf({ situation: s, starts, next }: Plan, before: SweepStatus, now: string): Partial<SweepStatus> {
  const count = (...states: readonly PointState[]): number => s.points.filter(({ state }) => states.includes(state)).length;
  const started = new Set([...s.records.map(({ id, retry }) => `${id}-${retry}`), ...s.open.map(({ id, retry }) => `${id}-${retry}`), ...starts.map(({ object }) => object.metadata.name)]).size;
  const pointIds = new Set(s.points.map(({ of }) => of.id));
  const running = count('Running') + starts.filter(({ id }) => pointIds.has(id)).length;
  const done = count('Succeeded', 'Failed', 'Stopped');
  return {
    done: `${done}/${s.points.length}`,
    points: { total: s.points.length, waiting: s.points.length - running - done, running, succeeded: count('Succeeded'), failed: count('Failed'), stopped: count('Stopped') },
    runs: { active: s.open.filter(({ state }) => state === 'Active').length + starts.length, started, retries: retriesOf(s) + starts.filter(({ isRetry }) => isRetry).length },
    spent: amounts(s.ledger.spent), reserved: amounts(s.ledger.reserved),
    startTime: before.startTime ?? (started > 0 ? rfc3339(millisOf(now)) : undefined),
    failures: failuresOf(s), next: next.slice(0, MAX_NEXT),
  };
}

function retriesOf({ records, open }: Situation): number {
  const failed = new Set(records.filter(({ outcome }) => outcome === 'Failed').map(({ id, retry }) => `${id}-${retry + 1}`));
  return [...records, ...open].filter(({ id, retry }) => failed.has(`${id}-${retry}`)).length;
}

/** A spec that does not parse says nothing about what was done before. */
function keptCounts({ done, points, runs, spent, reserved, startTime, failures }: SweepStatus): Partial<SweepStatus> {
  return { done, points, runs, spent, reserved, startTime, failures };
}

function failuresOf({ points }: Situation): SweepStatus['failures'] {
  return points.filter(({ state }) => state === 'Failed').slice(0, MAX_FAILURES).map(({ of, record }) => defined({
    point: describePoint(of.point), run: record?.run.name, reason: record?.reason, message: record?.message,
  }));
}

function amounts({ flops, gpuHours }: Amounts): SweepStatus['spent'] {
  return defined({ flops: decimal(flops), gpuHours: decimal(gpuHours) });
}

/** A decimal string of six digits; absent when it is not finite. */
export function decimal(value: number): string | undefined {
  return Number.isFinite(value) ? String(Number(value.toPrecision(DIGITS))) : undefined;
}

function completionTime({ status }: Sweep, conditions: readonly Condition[], now: string): string | undefined {
  const isOver = (list: Parameters<typeof isTrue>[0]): boolean => isTrue(list, 'Complete') !== undefined || isTrue(list, 'Failed') !== undefined;
  if (!isOver(conditions)) return status.completionTime;
  return isOver(status.conditions) ? status.completionTime : rfc3339(millisOf(now));
}

/** With the amounts as they were, when nothing else has changed and they have hardly moved. */
function steadied(before: SweepStatus, next: SweepStatus): SweepStatus {
  const { spent, reserved } = before;
  const steady = defined({ ...next, spent, reserved });
  const isNews = !isSame(before, steady) || isFar(before, next, 'flops') || isFar(before, next, 'gpuHours');
  return isNews ? next : steady;
}

function isFar(before: SweepStatus, next: SweepStatus, unit: 'flops' | 'gpuHours'): boolean {
  const [was, is] = [Number(before.spent?.[unit] ?? 0), Number(next.spent?.[unit] ?? 0)];
  return Math.abs(is - was) > WORTH_A_WRITE * Math.max(was, is);
}

function defined<T extends object>(fields: { readonly [F in keyof T]: T[F] | undefined }): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0))) as T;
}

function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return Object.is(a, b);
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => isSame((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]));
}
