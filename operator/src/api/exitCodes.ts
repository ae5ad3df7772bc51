// Exit codes of a trainer container, one to one with trainer/polar/errors.py, and what each means for the next attempt.

export const EXIT_CODES = {
  Crashed: 1,
  ConfigInvalid: 10,
  DataInvalid: 11,
  CheckpointInvalid: 12,
  NonFiniteLoss: 13,
  StorageFull: 14,
  OutOfMemory: 15,
  Hung: 16,
  ReplicasDiffer: 17,
  Interrupted: 20,
} as const;

export type FailureReason = keyof typeof EXIT_CODES | 'Disrupted';

/** never: no further attempt. charged: counts against recovery.maxRestarts. free: does not. */
export type RestartPolicy = 'never' | 'charged' | 'free';

export const RESTART_AFTER: Readonly<Record<FailureReason, RestartPolicy>> = {
  Crashed: 'charged',
  ConfigInvalid: 'never',
  DataInvalid: 'never',
  CheckpointInvalid: 'never',
  NonFiniteLoss: 'never',
  StorageFull: 'never',
  OutOfMemory: 'charged',
  Hung: 'charged',
  ReplicasDiffer: 'charged',
  Interrupted: 'free',
  Disrupted: 'free',
};

/** The pod-failure-policy rules of every attempt's Job, in order; the Job's Failed message names the rule that matched. */
export const FAILURE_RULES: readonly { readonly reasons: readonly FailureReason[] }[] = [
  { reasons: ['ConfigInvalid', 'DataInvalid', 'CheckpointInvalid'] },
  { reasons: ['NonFiniteLoss'] },
  { reasons: ['StorageFull'] },
  { reasons: ['OutOfMemory', 'ReplicasDiffer'] },
  { reasons: ['Disrupted'] },
  { reasons: ['Hung', 'Interrupted'] },
  { reasons: ['Crashed'] },
];
