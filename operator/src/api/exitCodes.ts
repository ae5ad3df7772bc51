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

/** Silent: the operator heard nothing for recovery.silenceTimeoutSeconds and stopped the attempt. */
export type ExitReason = keyof typeof EXIT_CODES;

export type FailureReason = ExitReason | 'Disrupted' | 'Silent';

/** never: no further attempt. once: one charged attempt from the checkpoint before the newest, then none. charged: counts against recovery.maxRestarts. free: does not. */
export type RestartPolicy = 'never' | 'once' | 'charged' | 'free';

export const RESTART_AFTER: Readonly<Record<FailureReason, RestartPolicy>> = {
  Crashed: 'charged',
  ConfigInvalid: 'never',
  DataInvalid: 'never',
  CheckpointInvalid: 'never',
  NonFiniteLoss: 'once',
  StorageFull: 'never',
  OutOfMemory: 'charged',
  Hung: 'charged',
  ReplicasDiffer: 'charged',
  Interrupted: 'free',
  Disrupted: 'free',
  Silent: 'charged',
};

/** The pod-failure-policy rules of every attempt's Job, in order; the Job's Failed message names the rule that matched. */
export const FAILURE_RULES: readonly { readonly reasons: readonly (ExitReason | 'Disrupted')[] }[] = [
  { reasons: ['ConfigInvalid', 'DataInvalid', 'CheckpointInvalid'] },
  { reasons: ['NonFiniteLoss'] },
  { reasons: ['StorageFull'] },
  { reasons: ['OutOfMemory', 'ReplicasDiffer'] },
  { reasons: ['Disrupted'] },
  { reasons: ['Hung', 'Interrupted'] },
  { reasons: ['Crashed'] },
];
