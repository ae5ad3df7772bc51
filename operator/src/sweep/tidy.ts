// What becomes of runs that are recorded, and of a sweep that is over. Pure.
import { API_VERSION } from '../api/labels.ts';
import { millisOf } from '../run/instant.ts';
import type { Action } from '../runtime/apply.ts';
import type { SweepRun } from './observed.ts';
import type { Situation } from './situation.ts';
import { patchOf } from './stopping.ts';

/** Runs that were removed or stopped early are not over for their own controller, so their end is up to the sweep. */
export function forgetRemoved(s: Situation): readonly Action[] {
  const ttl = s.spec.template.ttlSecondsAfterFinished;
  const isDue = (completedTime: string): boolean => ttl !== undefined && millisOf(completedTime) + ttl * 1000 <= millisOf(s.seen.now);
  const due = s.recorded.filter(({ run, record }) => !run.isDeleted && (record.outcome === 'Removed' || (record.outcome === 'Stopped' && isDue(record.completedTime))));
  return due.map(({ run }) => deletionOf(s, run));
}

/** The time to live of a run begins to count once its entry is written. */
export function setTimeToLive(s: Situation): readonly Action[] {
  const ttlSecondsAfterFinished = s.spec.template.ttlSecondsAfterFinished;
  if (ttlSecondsAfterFinished === undefined) return [];
  const due = s.recorded.filter(({ run }) => (run.state === 'Complete' || run.state === 'Failed') && !run.hasTtl && !run.isDeleted);
  return due.map(({ run }) => patchOf(s, run, { ttlSecondsAfterFinished }));
}

/** The sweep's own time to live: its runs and records go with it. */
export function expiryOf(s: Situation, isOver: boolean): { readonly actions: readonly Action[]; readonly afterMs: number } {
  const { metadata: { name, namespace, uid, resourceVersion }, status: { completionTime, conditions = [] } } = s.seen.sweep;
  const ttl = s.spec.ttlSecondsAfterFinished;
  const wasOver = conditions.some(({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True');
  if (!isOver || !wasOver || ttl === undefined || completionTime === undefined) return { actions: [], afterMs: Infinity };
  const afterMs = millisOf(completionTime) + ttl * 1000 - millisOf(s.seen.now);
  if (afterMs > 0) return { actions: [], afterMs };
  // The version is a precondition: whoever has edited the sweep meanwhile is in time.
  return { afterMs: Infinity, actions: [{ do: 'delete', ref: { apiVersion: API_VERSION, kind: 'PolarSweep', namespace, name }, uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) }] };
}

function deletionOf({ seen: { sweep: { metadata: { namespace } } } }: Situation, { name, uid }: SweepRun): Action {
  return { do: 'delete', ref: { apiVersion: API_VERSION, kind: 'PolarPretrain', namespace, name }, uid };
}
