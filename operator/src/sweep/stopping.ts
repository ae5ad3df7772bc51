// Patches that let a run save and stop, or go on. Pure.
import { ANNOTATION_STOPPED, API_VERSION } from '../api/labels.ts';
import type { Action } from '../runtime/apply.ts';
import { branchPoints } from './desired.ts';
import type { SweepRun } from './observed.ts';
import type { Situation } from './situation.ts';
import type { Work } from './works.ts';

/** The run saves a checkpoint and stops; for good when a reason is given. */
export function stop(s: Situation, run: SweepRun, forGood?: string): Action {
  return patchOf(s, run, { suspend: true }, forGood === undefined ? undefined : { [ANNOTATION_STOPPED]: forGood.slice(0, 512) });
}

export function resume(s: Situation, run: SweepRun): Action {
  return patchOf(s, run, { suspend: false });
}

/** The trunk goes on further, also when it was complete. */
export function extend(s: Situation, { view, run }: Extract<Work, { readonly do: 'extend' }>): Action {
  const { unit, budget } = view.trunk;
  return patchOf(s, run, { budget: unit === 'steps' ? { steps: budget } : { tokens: String(budget) }, checkpoint: branchPoints(view) });
}

/** A patch of that very run. */
export function patchOf({ seen: { sweep } }: Situation, { name, uid }: SweepRun, spec: object, annotations?: Readonly<Record<string, string>>): Action {
  const metadata = { name, namespace: sweep.metadata.namespace, uid, ...(annotations === undefined ? {} : { annotations }) };
  return { do: 'patch', object: { apiVersion: API_VERSION, kind: 'PolarPretrain', metadata, spec } as Extract<Action, { do: 'patch' }>['object'] };
}
