// The PHASE column: a summary of the conditions for people. Nothing decides on it.
import type { Phase } from '../api/reasons.ts';
import type { Condition } from '../api/status.ts';
import { isTrue } from './objects.ts';
import type { Situation } from './situation.ts';

export function phaseOf(conditions: readonly Condition[], attempt: number, s: Situation): Phase {
  const is = (type: string): boolean => isTrue(conditions, type) !== undefined;
  if (is('Failed')) return 'Failed';
  if (is('Complete')) return 'Complete';
  if (is('PodsReady') || isFinishing(s)) return 'Running';
  if (isSuspending(s)) return 'Suspended';
  if (attempt === 0 || isWaiting(s, is)) return 'Pending';
  return attempt === 1 && isFirstStart(s, is('Progressing')) ? 'Starting' : 'Restarting';
}

function isWaiting(s: Situation, is: (type: string) => boolean): boolean {
  return !is('Accepted') || (!is('Admitted') && s.livePods.length === 0);
}

/** Suspended, or asked to be and no longer training as a whole. */
function isSuspending(s: Situation): boolean {
  return s.seen.run.spec?.spec.suspend === true && (s.stopRequest !== undefined || s.jobState !== 'active');
}

/** Also while the API server refuses the first attempt's objects. */
function isFirstStart(s: Situation, progressing: boolean): boolean {
  return progressing || s.jobState === 'missing';
}

/** The first workers have done their last step; the Job counts them one after the other. */
function isFinishing(s: Situation): boolean {
  return s.jobState === 'active' && s.donePods > 0;
}
