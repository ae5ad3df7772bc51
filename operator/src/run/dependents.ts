// Other runs that start from this one's checkpoints: which of its steps they refer to, and who still waits for it.
import type { RunStatus } from '../api/status.ts';
import { isTrue } from './objects.ts';
import type { Dependent } from './observed.ts';

const MAX_STEPS = 64;

/** Steps of this run's checkpoints that other stored runs refer to, in order; the newest when there are too many. */
export function protectedSteps(dependents: readonly Dependent[], { checkpoints, checkpointDirectoryUri }: RunStatus): readonly number[] {
  const steps = dependents.flatMap(({ startedFrom, waits, which }) => {
    if (startedFrom !== undefined) return startedFrom.uri.startsWith(`${checkpointDirectoryUri ?? ''}/`) ? [startedFrom.step] : [];
    if (!waits) return [];
    return typeof which === 'number' ? [which] : which === 'best' ? [checkpoints?.best?.step] : [];
  });
  return [...new Set(steps.filter((step) => step !== undefined))].sort((a, b) => a - b).slice(-MAX_STEPS);
}

/** Has neither started nor ended: it still needs this run. */
export function isWaiting({ startedFrom, conditions }: RunStatus): boolean {
  return startedFrom === undefined && isTrue(conditions, 'Complete') === undefined && isTrue(conditions, 'Failed') === undefined;
}
