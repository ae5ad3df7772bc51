// What the statuses of runs say, as metrics. Computed from the caches when somebody asks; only the leader tells, so that nothing counts twice.
import { Counter, Gauge } from 'prom-client';
import type { Registry } from 'prom-client';
import type { RunStatus } from '../api/status.ts';
import type { StoredRun } from './caches.ts';
import type { RunKind } from './observed.ts';

export interface RunMetricsOptions {
  readonly registry: Registry;
  /** All runs of a kind. */
  readonly runsOf: (kind: RunKind) => readonly StoredRun[];
  readonly isLeading: () => boolean;
  /** At most so many runs have series of their own. */
  readonly maxSeries: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** A run with series of its own. */
interface Shown {
  readonly labels: { readonly namespace: string; readonly name: string; readonly kind: RunKind };
  readonly status: RunStatus;
}

type Value = (status: RunStatus, nowMs: number) => number | undefined;

const KINDS: readonly RunKind[] = ['PolarPretrain', 'PolarFinetune'];
const OWN = ['namespace', 'name', 'kind'] as const;
// After its end a run keeps its series for a scrape or two, and for people who look what became of it.
const KEPT_MS = 3_600_000;

const VALUES: readonly (readonly [name: string, help: string, value: Value])[] = [
  ['polar_run_attempt', 'Number of the current or last attempt.', ({ attempt }) => attempt],
  ['polar_run_step', 'Last step done.', ({ progress }) => progress?.step],
  ['polar_run_steps', 'Steps of the stage.', ({ progress }) => progress?.totalSteps],
  ['polar_run_tokens', 'Corpus tokens seen.', ({ progress }) => progress?.tokens],
  ['polar_run_train_loss', 'Bradley-Terry loss of the last batch.', ({ progress }) => decimal(progress?.trainLoss)],
  ['polar_run_val_loss', 'Last validation loss, on seen policies.', ({ progress }) => decimal(progress?.valLoss)],
  ['polar_run_val_accuracy_ratio', 'Last validation accuracy, on seen policies.', ({ progress }) => decimal(progress?.valAccuracy)],
  ['polar_run_tokens_per_second', 'Corpus tokens per second over all workers, as last reported.', ({ progress }) => decimal(progress?.tokensPerSecond)],
  ['polar_run_mfu_ratio', 'Model FLOP utilisation; absent where it is not known.', ({ progress }) => decimal(progress?.mfu)],
  ['polar_run_effective_training_time_ratio', 'Share of the time that went into steps which count.', ({ effectiveTrainingTime }) => decimal(effectiveTrainingTime)],
  ['polar_run_lost_steps', 'Steps done in vain, over all attempts.', ({ progress }) => progress?.lostSteps],
  ['polar_run_save_seconds', 'How long the last checkpoint stopped training.', ({ progress }) => decimal(progress?.saveSeconds)],
  ['polar_run_checkpoint_age_seconds', 'Time since the newest checkpoint was complete, by the trainer\'s clock, of a run that is not over.', (status, nowMs) => ageWhileAlive(status, status.checkpoints?.latest?.completedTime, nowMs)],
  ['polar_run_report_age_seconds', 'Time since the trainer\'s last report, of a run that is not over.', (status, nowMs) => ageWhileAlive(status, status.progress?.lastReportTime, nowMs)],
  ['polar_run_queue_wait_seconds', 'How long a run has been waiting for quota; absent when it does not.', (status, nowMs) => secondsSince(queuedSince(status), nowMs)],
  ['polar_run_idle_seconds', 'Time suspended or waiting for quota, all together.', (status, nowMs) => (status.idleSeconds ?? 0) + (secondsSince(status.idleSince, nowMs) ?? 0)],
];

interface Snapshot {
  readonly shown: readonly Shown[];
  readonly phases: readonly { readonly kind: RunKind; readonly phase: string }[];
  readonly over: number;
  readonly beyondLimit: number;
}

/** Registers the metrics of runs; once per registry. */
export function runMetrics(options: RunMetricsOptions): void {
  const registers = [options.registry];
  const snapshot = onceATurn(() => (options.isLeading() ? snapshotOf(options) : undefined));
  aggregates(options.registry, snapshot);
  for (const [name, help, valueOf] of VALUES) {
    new Gauge({
      name, help, labelNames: OWN, registers,
      collect() {
        this.reset();
        for (const { labels, status } of snapshot()?.shown ?? []) {
          const value = valueOf(status, options.now());
          if (value !== undefined && Number.isFinite(value)) this.set(labels, value);
        }
      },
    });
  }
  new Counter({
    name: 'polar_run_restarts_total', help: 'Attempts after the first, by why the attempt before ended.', labelNames: [...OWN, 'reason'], registers,
    collect() {
      this.reset();
      for (const { labels, status } of snapshot()?.shown ?? []) for (const { reason, count } of status.restartsByReason ?? []) this.inc({ ...labels, reason }, count);
    },
  });
}

function aggregates(registry: Registry, snapshot: () => Snapshot | undefined): void {
  const registers = [registry];
  new Gauge({
    name: 'polar_runs', help: 'Runs by kind and phase.', labelNames: ['kind', 'phase'], registers,
    collect() {
      this.reset();
      for (const labels of snapshot()?.phases ?? []) this.inc({ ...labels });
    },
  });
  new Gauge({
    name: 'polar_runs_without_series', help: 'Runs without series of their own: ended over an hour ago (over), or more than the limit (limit).', labelNames: ['why'], registers,
    collect() {
      this.reset();
      const now = snapshot();
      if (now === undefined) return;
      this.set({ why: 'over' }, now.over);
      this.set({ why: 'limit' }, now.beyondLimit);
    },
  });
}

/** All metrics of a page are collected in one turn of the event loop: one look at the runs is enough for all. */
function onceATurn<T>(look: () => T): () => T {
  let seen: { readonly value: T } | undefined;
  return () => {
    if (seen === undefined) {
      seen = { value: look() };
      queueMicrotask(() => { seen = undefined; });
    }
    return seen.value;
  };
}

function snapshotOf({ runsOf, maxSeries, now }: RunMetricsOptions): Snapshot {
  const all = KINDS.flatMap((kind) => runsOf(kind).map((run) => ({ kind, run })));
  const recent = all.filter(({ run }) => isRecent(run, now()));
  // The oldest first: a run does not lose its series because new ones come.
  const age = ({ run }: { readonly run: StoredRun }): string => run.metadata.creationTimestamp ?? '';
  const kept = recent.length <= maxSeries ? recent : recent.toSorted((a, b) => (age(a) < age(b) ? -1 : 1)).slice(0, maxSeries);
  return {
    shown: kept.map(({ kind, run: { metadata, status = {} } }) => ({ labels: { namespace: metadata.namespace ?? '', name: metadata.name, kind }, status })),
    phases: all.map(({ kind, run }) => ({ kind, phase: run.status?.phase ?? 'Unknown' })),
    over: all.length - recent.length,
    beyondLimit: recent.length - kept.length,
  };
}

function isRecent({ status }: StoredRun, nowMs: number): boolean {
  return !isOver(status) || nowMs - Date.parse(status?.completionTime ?? '') <= KEPT_MS;
}

function isOver(status: RunStatus | undefined): boolean {
  return status?.conditions?.some(({ type, status: is }) => (type === 'Complete' || type === 'Failed') && is === 'True') === true;
}

function ageWhileAlive(status: RunStatus, time: string | undefined, nowMs: number): number | undefined {
  return isOver(status) ? undefined : secondsSince(time, nowMs);
}

function secondsSince(time: string | undefined, nowMs: number): number | undefined {
  const since = Date.parse(time ?? '');
  return Number.isNaN(since) ? undefined : Math.max(0, (nowMs - since) / 1000);
}

function queuedSince({ conditions }: RunStatus): string | undefined {
  return conditions?.find(({ type, status }) => type === 'Admitted' && status === 'False')?.lastTransitionTime;
}

/** Status holds fractions as decimal strings. */
function decimal(text: string | undefined): number | undefined {
  return text === undefined || text === '' ? undefined : Number(text);
}
