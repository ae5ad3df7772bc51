// Where a run stands with Kueue.
//
//   none          no spec.queue                          waiting    in the queue, or put aside by Kueue
//   unwanted      no spec.queue, but a Workload          checking   quota is reserved, admission checks are not done
//   notInstalled  the cluster serves no Workloads        admitted   may run
//   missing       none created yet, or somebody          evicted    Kueue wants the quota back, and we still hold it
//                 deleted it                             finished   its record of an earlier end
//   leaving       being deleted
import { admissionOf } from './admission.ts';
import type { Admission } from './admission.ts';
import { hasReservation, holdsTrue, statusOfWorkload } from './kueue.ts';
import type { Workload } from './kueue.ts';
import type { Observed } from './observed.ts';
import type { Situation } from './situation.ts';

export type QueueState = 'none' | 'unwanted' | 'notInstalled' | 'missing' | 'leaving' | 'finished' | 'evicted' | 'checking' | 'admitted' | 'waiting';

export function queueStateOf({ run, queueing }: Observed): QueueState {
  const workload = queueing?.workload;
  if (run.spec?.spec.queue === undefined) return workload === undefined ? 'none' : 'unwanted';
  if (queueing?.isInstalled !== true) return 'notInstalled';
  return workload === undefined ? 'missing' : workloadState(workload);
}

export function workloadState(workload: Workload): QueueState {
  const status = statusOfWorkload(workload);
  if (workload.metadata.deletionTimestamp !== undefined) return 'leaving';
  if (holdsTrue(status, 'Finished') !== undefined) return 'finished';
  if (!hasReservation(status)) return 'waiting';
  if (holdsTrue(status, 'Evicted') !== undefined) return 'evicted';
  return holdsTrue(status, 'Admitted') !== undefined && status.admission !== undefined ? 'admitted' : 'checking';
}

/** What the admission adds to the pods of an attempt; undefined without a queue, a text when it cannot be used. */
export function admissionFor({ seen }: Pick<Situation, 'seen'>): Admission | string | undefined {
  const { queueing, run: { spec } } = seen;
  return spec?.spec.queue === undefined || queueing === undefined ? undefined : admissionOf(queueing, spec);
}
