// Early stopping: which running points lose against others that differ only in their learning rate. Pure.
import { toStop } from './design/halving.ts';
import type { Rival } from './design/halving.ts';
import type { SweepRun } from './observed.ts';
import type { Point, RunRecord } from './point.ts';
import type { PointState, PointView, Situation } from './situation.ts';

export interface EarlyStop {
  readonly run: SweepRun;
  /** Why, for people. */
  readonly message: string;
}

/** Runs to stop for good now. */
export function earlyStops(s: Situation): readonly EarlyStop[] {
  const { earlyStopping } = s.spec;
  if (earlyStopping === undefined) return [];
  return [...Map.groupBy(s.points, ({ of }) => groupOf(of.point)).values()].filter((group) => group.length > 1).flatMap((group) => {
    const runs = new Map(group.flatMap(({ of, run }) => (run?.stopped === undefined && run?.isDeleted === false ? [[of.id, run] as const] : [])));
    return toStop(group.map(rivalOf), earlyStopping).flatMap(({ id, message }) => {
      const run = runs.get(id);
      return run === undefined ? [] : [{ run, message }];
    });
  });
}

/** Whether any two of the points differ only in their learning rate, so that their curves are looked at. */
export function groupOf({ size, tokens, steps, batchTriplets, seed }: Point): string {
  return JSON.stringify([size, tokens ?? null, steps ?? null, batchTriplets, seed]);
}

const STATES: Readonly<Record<PointState, Rival['state']>> = { Waiting: 'Waiting', Running: 'Running', Suspended: 'Running', Succeeded: 'Ended', Failed: 'Failed', Stopped: 'Stopped' };

function rivalOf({ of: { id, point: { learningRate } }, state, run, record }: PointView): Rival {
  const { curve = [], budget, standardError } = run === undefined ? endedOf(record) : openOf(run);
  // A run that has been asked to stop for good is judged no more.
  const judged = run?.stopped === undefined ? STATES[state] : 'Stopped';
  return { id, learningRate: Number(learningRate), budget, state: judged, curve: curve.map(({ tokens, valLoss }) => ({ at: tokens, loss: valLoss })), standardError };
}

type Seen = Pick<SweepRun, 'curve'> & Pick<Rival, 'budget' | 'standardError'>;

function openOf(run: SweepRun): Seen {
  return { curve: run.curve, budget: budgetOf(run), standardError: run.valLossStandardError };
}

function endedOf(record: RunRecord | undefined): Seen {
  return { curve: record?.curve, budget: record?.tokens ?? 0, standardError: record?.valLossStandardError };
}

/** In corpus tokens, as the curve counts. */
function budgetOf({ budget, status: { progress = {} } }: SweepRun): number {
  const { tokens = 0, step = 0, totalSteps = 0 } = progress;
  return budget.tokens ?? (step > 0 ? tokens * totalSteps / step : 0);
}
