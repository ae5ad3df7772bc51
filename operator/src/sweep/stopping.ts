// Patches that let a run save and stop, or go on. Pure.
import { ANNOTATION_STOPPED, API_VERSION } from '../api/labels.ts';
import type { Action } from '../runtime/apply.ts';
import type { SweepRun } from './observed.ts';
import type { Situation } from './situation.ts';

/** The run saves a checkpoint and stops; for good when a reason is given. */
export function stop(s: Situation, run: SweepRun, forGood?: string): Action {
  return patchOf(s, run, { suspend: true }, forGood === undefined ? undefined : { [ANNOTATION_STOPPED]: forGood.slice(0, 512) });
}

export function resume(s: Situation, run: SweepRun): Action {
  return patchOf(s, run, { suspend: false });
}

/** A patch of that very run. */
export function patchOf({ seen: { sweep } }: Situation, { name, uid }: SweepRun, spec: object, annotations?: Readonly<Record<string, string>>): Action {
  const metadata = { name, namespace: sweep.metadata.namespace, uid, ...(annotations === undefined ? {} : { annotations }) };
  return { do: 'patch', object: { apiVersion: API_VERSION, kind: 'PolarPretrain', metadata, spec } as Extract<Action, { do: 'patch' }>['object'] };
}
