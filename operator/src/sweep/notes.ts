// Events worth writing about a sweep: points that fail, retries, and conditions that change. Conditions stay the record.
import type { Condition } from '../api/status.ts';
import type { SweepStatus } from '../api/sweepStatus.ts';
import type { EventNote } from '../runtime/events.ts';
import { describePoint } from './naming.ts';
import type { Observed } from './observed.ts';
import type { Plan } from './plan.ts';

const WORTH_A_NOTE: Readonly<Record<string, EventNote['type']>> = {
  'Accepted=False': 'Warning', 'Stalled=True': 'Warning', 'Failed=True': 'Warning', 'Complete=True': 'Normal', 'Suspended=True': 'Normal', 'Fitted=True': 'Normal',
};

/** What happened to points in this pass. */
export function pointNotes(plan: Plan): readonly EventNote[] {
  const ended = plan.situation.newRecords.flatMap(({ outcome, run, point, reason = '', message = '' }): readonly EventNote[] => {
    if (outcome === 'Failed') return [{ type: 'Warning', reason: 'PointFailed', message: `run "${run.name}" (${describePoint(point)}): ${reason}: ${message}` }];
    return outcome === 'Stopped' ? [{ type: 'Normal', reason: 'PointStopped', message: `run "${run.name}" (${describePoint(point)}): ${message}` }] : [];
  });
  const retries = plan.starts.filter(({ isRetry }) => isRetry).map(({ object }): EventNote => ({ type: 'Normal', reason: 'PointRetried', message: `run "${object.metadata.name}" takes the place of one that failed` }));
  return [...ended, ...retries];
}

/** What the written status says that the one before did not. */
export function conditionNotes({ sweep }: Observed, { conditions = [] }: SweepStatus): readonly EventNote[] {
  return conditions.flatMap((condition) => {
    const type = WORTH_A_NOTE[`${condition.type}=${condition.status}`];
    return type === undefined || !isNews(sweep.status.conditions, condition) ? [] : [{ type, reason: condition.reason, message: condition.message }];
  });
}

function isNews(before: SweepStatus['conditions'], { type, status, reason }: Condition): boolean {
  const was = before?.find((one) => one.type === type);
  return was?.status !== status || was.reason !== reason;
}
