// The run's condition Admitted: what Kueue said last, in its own words.
import type { Reason } from '../api/reasons.ts';
import { hasReservation, holdsTrue, specOf, statusOfWorkload } from './kueue.ts';
import type { Workload } from './kueue.ts';
import { admissionFor, queueStateOf } from './queueState.ts';
import type { QueueState } from './queueState.ts';
import type { Situation } from './situation.ts';

const LABEL_QUEUE = 'kueue.x-k8s.io/queue-name';

export interface Admitted {
  readonly status: 'True' | 'False';
  readonly reason: Reason;
  readonly message: string;
}

const NOT_INSTALLED = 'the cluster serves no Workload of kueue.x-k8s.io/v1beta2: install Kueue v0.15 or newer, or suspend the run and remove spec.queue';

/** The run's condition Admitted. */
export function admittedCondition(s: Situation): Admitted {
  const held = heldBecause(s);
  if (held !== undefined) return waiting(held);
  const queue = s.seen.run.spec?.spec.queue?.name;
  if (queue === undefined) return { status: 'True', reason: 'NoQueue', message: 'the run asks for no quota' };
  const state = queueStateOf(s.seen);
  if (state === 'notInstalled') return { status: 'False', reason: 'KueueNotInstalled', message: NOT_INSTALLED };
  const workload = s.seen.queueing?.workload;
  return workload === undefined ? waiting(unasked(s, queue)) : saidOf(s, workload, state);
}

/** Kueue suspends Jobs it takes for its own: where a LocalQueue is named "default", or jobs without a queue are managed too. */
export function heldBecause({ job, jobState, seen }: Situation): string | undefined {
  if (job?.spec.suspend !== true || jobState !== 'active') return undefined;
  const queue = job.metadata.labels?.[LABEL_QUEUE];
  const where = queue === undefined ? '' : ` and waits in queue "${queue}" of Kueue`;
  const twice = queue === undefined || seen.run.spec?.spec.queue === undefined ? '' : ', a second time: name PolarPretrain and PolarFinetune in integrations.externalFrameworks of Kueue (docs/queueing.md)';
  return `Job "${job.metadata.name}" is suspended${where}${twice}`;
}

function saidOf(s: Situation, workload: Workload, state: QueueState): Admitted {
  const queue = specOf(workload).queueName ?? '';
  if (state === 'leaving' || state === 'finished') return waiting(unasked(s, queue));
  if (state === 'evicted') return { status: 'False', reason: 'Evicted', message: evictedBecause(workload) };
  if (state !== 'admitted') return waiting(waitingBecause(workload, queue));
  const unusable = unusableBecause(s);
  if (unusable !== undefined) return waiting(unusable);
  return { status: 'True', reason: 'QuotaReserved', message: `admitted by ClusterQueue "${statusOfWorkload(workload).admission?.clusterQueue ?? ''}"` };
}

/** An attempt that runs has what it needs of its admission. */
function unusableBecause(s: Situation): string | undefined {
  const given = s.jobState === 'active' || s.jobState === 'ending' ? undefined : admissionFor(s);
  return typeof given === 'string' ? given : undefined;
}

function waiting(message: string): Admitted {
  return { status: 'False', reason: 'WaitingForQuota', message };
}

function unasked({ seen }: Situation, queue: string): string {
  const { priority } = seen.queueing ?? {};
  if (seen.run.spec?.spec.suspend === true) return `the run is suspended and asks queue "${queue}" for nothing`;
  return priority !== undefined && priority.value === undefined ? `there is no ${priority.kind} "${priority.name}"` : `asking queue "${queue}" for quota`;
}

export function evictedBecause(workload: Workload): string {
  const { reason = '', message = '' } = holdsTrue(statusOfWorkload(workload), 'Evicted') ?? {};
  return `${reason}: ${message}`;
}

/** In Kueue's words. */
function waitingBecause(workload: Workload, queue: string): string {
  const status = statusOfWorkload(workload);
  if (!specOf(workload).active) return `Workload "${workload.metadata.name}" has spec.active false; it is put back into the queue by setting that to true. ${evictedBecause(workload)}`;
  if (hasReservation(status)) return `quota of queue "${queue}" is reserved; ${checksOf(status.admissionChecks)}`;
  const why = status.conditions.find(({ type }) => type === 'QuotaReserved')?.message ?? '';
  return why === '' ? `in queue "${queue}"` : why;
}

function checksOf(checks: ReturnType<typeof statusOfWorkload>['admissionChecks']): string {
  const open = checks.filter(({ state }) => state !== 'Ready');
  const told = open.map(({ name, state = 'Unknown', message = '' }) => `${name} is ${state}${message === '' ? '' : ` (${message})`}`);
  return told.length === 0 ? 'not admitted yet' : `admission checks: ${told.join(', ')}`;
}
