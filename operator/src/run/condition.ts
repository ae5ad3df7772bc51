// What the conditions of every kind have in common. Pure.
import type { Condition } from '../api/status.ts';
import { millisOf, rfc3339 } from './instant.ts';

export interface Claim {
  readonly status: Condition['status'];
  readonly reason: string;
  readonly message: string;
}

export interface About {
  readonly type: string;
  /** The condition of that type until now. */
  readonly before: Condition | undefined;
  /** RFC 3339. */
  readonly now: string;
  readonly generation: number | undefined;
}

const MAX_MESSAGE = 4096;

/** The condition that says this; lastTransitionTime moves only when status does. */
export function conditionOf({ type, before, now, generation }: About, { status, reason, message }: Claim): Condition {
  const lastTransitionTime = before?.status === status ? before.lastTransitionTime : rfc3339(millisOf(now));
  return { type, status, reason, message: message.slice(0, MAX_MESSAGE), lastTransitionTime, ...(generation === undefined ? {} : { observedGeneration: generation }) };
}
