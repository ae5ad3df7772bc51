// Events worth writing: what changed between the status that was and the status that is. Conditions stay the record.
import type { Condition } from '../api/status.ts';
import type { EventNote } from '../runtime/events.ts';
import type { KubeObject } from '../runtime/object.ts';
import type { Plan } from './plan.ts';
import type { OwnStatus } from './ownFields.ts';

/** Notes on what a written status says that the one before did not, in the order of happening. */
export function notesOf(plan: Plan, next: OwnStatus): readonly EventNote[] {
  return [...attemptNotes(plan), ...registryNotes(plan), ...(next.conditions ?? []).flatMap((condition) => conditionNotes(plan, condition))];
}

function registryNotes({ verdict: { registered } }: Plan): readonly EventNote[] {
  if (registered === undefined) return [];
  const { task, outcome, message = '' } = registered;
  return [{ type: outcome === 'Failed' ? 'Warning' : 'Normal', reason: `Checkpoints${NOTE_OF_TASK[task]}`, message: outcome === 'Failed' ? `failed: ${message}` : message }];
}

const NOTE_OF_TASK = { report: 'Reported', verify: 'Verified', gc: 'Collected', delete: 'Deleted' } as const;

function attemptNotes(plan: Plan): readonly EventNote[] {
  const { verdict: { stops, progressing } } = plan;
  return [
    ...endNotes(plan),
    ...(stops === undefined ? [] : [note(stops.reason === 'Silent' ? 'Warning' : 'Normal', stops.reason, progressing.message)]),
  ];
}

/** Notes on what was created, of which the status has nothing new to say. */
export function creationNotes({ because, situation: s }: Plan, created: readonly KubeObject[]): readonly EventNote[] {
  const job = because === 'isUncreated' ? created.find(({ kind }) => kind === 'Job') : undefined;
  return job === undefined ? [] : [note('Normal', 'AttemptCreated', `attempt ${s.attempt} is Job "${job.metadata.name}"`)];
}

/** Why the attempt before ended, unless it was asked to, which was told then. */
function endNotes({ situation: s, verdict: { begins } }: Plan): readonly EventNote[] {
  const isFree = s.failure === undefined || s.failure.policy === 'free';
  if (begins === undefined || begins === 'first' || (s.stopRequest !== undefined && isFree)) return [];
  if (s.failure !== undefined) return [note('Warning', s.failure.reason, `attempt ${s.attempt} ended: ${s.failure.message}`)];
  return s.jobState === 'gone' ? [note('Normal', 'JobDeleted', `attempt ${s.attempt} ended: its Job was deleted`)] : [];
}

function note(type: EventNote['type'], reason: string, message: string): EventNote {
  return { type, reason, message };
}

function conditionNotes({ situation: s }: Plan, condition: Condition): readonly EventNote[] {
  const { type, status, reason, message } = condition;
  const before = s.seen.run.status.conditions?.find((one) => one.type === type);
  // A run that was never suspended has no news in not being so.
  const first = before === undefined && type === 'Suspended' && status === 'False';
  const isNews = before?.status !== status || before.reason !== reason;
  const kind = worth(condition);
  if (first || !isNews || kind === undefined) return [];
  return [{ type: reason === 'WaitingForCheckpoint' ? 'Normal' : kind, reason, message }];
}

function worth({ type, status, reason }: Condition): EventNote['type'] | undefined {
  return WORTH_A_NOTE[`${type}=${status}`] ?? WORTH_A_NOTE[reason];
}

const WORTH_A_NOTE: Readonly<Record<string, EventNote['type']>> = {
  QuotaReserved: 'Normal', KueueNotInstalled: 'Warning', LawExtrapolated: 'Warning', 'Accepted=False': 'Warning', 'Stalled=True': 'Warning', 'Failed=True': 'Warning', 'Complete=True': 'Normal', 'Suspended=True': 'Normal', 'Suspended=False': 'Normal',
};
