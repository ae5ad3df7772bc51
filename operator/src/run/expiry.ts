// ttlSecondsAfterFinished: the run is deleted at that second, once nobody waits for it any more.
import { API_VERSION } from '../api/labels.ts';
import { millisOf } from './instant.ts';
import type { Situation } from './situation.ts';
import type { Verdict } from './verdict.ts';

/** What a run that is over does about its time to live. Those that wait are watched: their start brings the run back here. */
export function expire(s: Situation): Pick<Verdict, 'actions' | 'requeueAfterMs'> {
  const { spec, status, kind, metadata: { namespace, name, uid, resourceVersion, deletionTimestamp } } = s.seen.run;
  const ttl = spec?.spec.ttlSecondsAfterFinished;
  if (ttl === undefined || status.completionTime === undefined || deletionTimestamp !== undefined) return {};
  const waitMs = millisOf(status.completionTime) + ttl * 1000 - millisOf(s.seen.now);
  if (waitMs > 0) return { requeueAfterMs: waitMs };
  if (s.seen.dependents.some(({ waits }) => waits)) return {};
  // The version is a precondition: whoever has raised the budget or the time to live meanwhile is in time.
  return { actions: [{ do: 'delete', ref: { apiVersion: API_VERSION, kind, namespace, name }, uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) }] };
}
