// spec.managedBy: a run that another cluster runs. Its status is then written by whoever copies it here.
import type { Condition } from '../api/status.ts';
import { rfc3339, millisOf } from './instant.ts';
import type { Observed, Run } from './observed.ts';
import { OWN_FIELDS } from './ownFields.ts';
import type { OwnStatus } from './ownFields.ts';

/** This operator's name in spec.managedBy. */
const OURS = 'polar.training/operator';

export function isManagedElsewhere({ spec }: Run): boolean {
  return spec !== undefined && spec.spec.managedBy !== OURS;
}

/** What is stored, with the word that this operator leaves the run alone as long as nobody has written whether it is accepted. */
export function statusElsewhere({ run, now }: Observed): OwnStatus {
  const { conditions = [] } = run.status;
  const stored = Object.fromEntries(OWN_FIELDS.flatMap((field) => (run.status[field] === undefined ? [] : [[field, run.status[field]]]))) as OwnStatus;
  if (conditions.some(({ type }) => type === 'Accepted')) return stored;
  const message = `spec.managedBy is ${run.spec?.spec.managedBy ?? ''}: this operator leaves the run alone`;
  const accepted: Condition = { type: 'Accepted', status: 'False', reason: 'ManagedElsewhere', message, lastTransitionTime: rfc3339(millisOf(now)) };
  return { ...stored, conditions: [...conditions, accepted] };
}
