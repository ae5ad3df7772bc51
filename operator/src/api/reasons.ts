// Every condition type and reason a run can show. docs/conditions.md explains each; a test holds the two together.

export const CONDITIONS = ['Accepted', 'Admitted', 'PodsReady', 'Progressing', 'Stalled', 'Suspended', 'Complete', 'Failed'] as const;
export type ConditionType = (typeof CONDITIONS)[number];

export const REASONS = {
  // Accepted
  Valid: 'The spec can be run.',
  LawExtrapolated: 'The spec can be run; optimizer auto uses the paper\'s laws outside the sizes and tokens they were fitted on.',
  SpecInvalid: 'The stored object does not parse; the message names the field.',
  VolumeNotFound: 'A PersistentVolumeClaim the run names does not exist.',
  VolumeNotBound: 'A PersistentVolumeClaim the run names has lost its volume.',
  VolumeNotShared: 'More than one worker needs a ReadWriteMany volume for checkpoints.',
  NameConflict: 'An object with a name the run needs exists and belongs to something else.',
  WaitingForCheckpoint: 'The pre-train run named in init.pretrainRef or resumeFrom.pretrainRef has not finished or has no checkpoint yet.',
  PretrainNotFound: 'The pre-train run named in init.pretrainRef or resumeFrom.pretrainRef does not exist.',
  PretrainFailed: 'The pre-train run named in init.pretrainRef or resumeFrom.pretrainRef failed.',
  CheckpointNotFound: 'The pre-train run named in resumeFrom.pretrainRef has no checkpoint at resumeFrom.step, or none any more.',
  SecretNotFound: 'The Secret of checkpoint.store.s3.credentialsSecretRef does not exist.',
  StoreNotSupported: 'The checkpoint store cannot do what the run asks for; the message says what.',
  PodGroupNotServed: 'workers.podGroup names a gang scheduler whose PodGroup resource the cluster does not have.',
  ManagedElsewhere: 'spec.managedBy names another controller; this operator leaves the run alone.',
  // Admitted
  NoQueue: 'spec.queue is not set: the run starts without asking for quota.',
  WaitingForQuota: 'Kueue has not admitted the run yet; the message is Kueue\'s.',
  QuotaReserved: 'Kueue has admitted the run.',
  Evicted: 'Kueue takes the quota back; workers save a checkpoint and stop, and the run waits for quota again.',
  KueueNotInstalled: 'spec.queue is set, but the cluster has no Kueue Workload resource.',
  // PodsReady
  AllPodsReady: 'Every worker of the attempt is running.',
  PodsPending: 'Workers of the attempt are being scheduled or started.',
  PodsFinished: 'The workers of the attempt have ended.',
  NoPods: 'No worker exists.',
  // Progressing
  Creating: 'The attempt is being created.',
  Training: 'The trainer runs.',
  RestartPending: 'An attempt ended; the next one starts when its delay has passed and its pods are gone.',
  Saving: 'The workers were asked to save a checkpoint and stop; the message says why.',
  NotStarted: 'Nothing has been started yet.',
  Finished: 'The run has ended.',
  // Stalled
  NotStalled: 'Nothing blocks the run.',
  Unschedulable: 'The scheduler finds no node for a worker; the message is the scheduler\'s.',
  ImagePullFailed: 'An image cannot be pulled; the message is the kubelet\'s.',
  ContainerStartFailed: 'A container cannot be created or started; the message is the kubelet\'s.',
  PodCreationRefused: 'The API server refuses the Job or its pods (quota, admission); the message is its own.',
  StartDeadlineExceeded: 'The workers did not all start within recovery.startDeadlineSeconds.',
  NoReports: 'The workers run, but the trainer has not reported for a long time.',
  NoCheckpoint: 'The run trains, but its newest checkpoint is much older than the checkpoint interval.',
  // Suspended
  SuspendRequested: 'spec.suspend is true: workers save a checkpoint and stop, then the condition is True.',
  NotSuspended: 'spec.suspend is false.',
  // Complete
  AllStepsDone: 'The last step was trained, validated and saved.',
  NotComplete: 'The last step has not been reached.',
  BudgetRaised: 'The budget was raised: a run that had completed, or runs, goes on in a new attempt.',
  // Failed
  NotFailed: 'The run has not failed.',
  MaxRestartsExceeded: 'More attempts crashed than recovery.maxRestarts allows.',
  // Failure reasons of an attempt (exit codes)
  Crashed: 'The trainer ended unexpectedly; see its log.',
  ConfigInvalid: 'The trainer refused its configuration.',
  DataInvalid: 'Training data is missing, unreadable or malformed; the message names file and line.',
  CheckpointInvalid: 'The weights to start from are missing or fail verification.',
  NonFiniteLoss: 'The loss became NaN or infinite; the message names the step and the rows.',
  StorageFull: 'The checkpoint volume has no space left.',
  OutOfMemory: 'A worker ran out of memory.',
  Hung: 'A worker made no progress for longer than the hang timeout; the message names it.',
  ReplicasDiffer: 'Workers no longer have the same weights: a device or its memory is faulty.',
  Silent: 'No report came for recovery.silenceTimeoutSeconds; the attempt was stopped and replaced.',
  SpecChanged: 'The attempt could not start and the spec was changed since: the next attempt takes its place.',
  JobDeleted: 'Somebody deleted the Job of the attempt.',
  Interrupted: 'The attempt was asked to stop and saved a checkpoint.',
  Disrupted: 'A worker was evicted, preempted or drained.',
} as const;
export type Reason = keyof typeof REASONS;

/** Derived from the conditions for the PHASE column; nothing decides on it. */
export const PHASES = ['Pending', 'Starting', 'Running', 'Restarting', 'Suspended', 'Complete', 'Failed'] as const;
export type Phase = (typeof PHASES)[number];

/** Of a sweep. */
export const SWEEP_CONDITIONS = ['Accepted', 'Progressing', 'Stalled', 'Suspended', 'Fitted', 'Complete', 'Failed'] as const;
export type SweepConditionType = (typeof SWEEP_CONDITIONS)[number];

export const SWEEP_REASONS = {
  // Accepted
  Valid: 'The spec can be run.',
  SpecInvalid: 'The stored object does not parse, or says something that cannot be; the message names the field.',
  NameTaken: 'An object with a name the sweep needs exists and belongs to something else.',
  RunRefused: 'The API server refuses the run of a point; the message is its own.',
  // Progressing
  Running: 'Runs are being trained or started.',
  Waiting: 'No run can be started now; the message says what is waited for.',
  Stopping: 'Runs save a checkpoint and stop; the message says why.',
  NotStarted: 'Nothing has been started.',
  Finished: 'The sweep has ended.',
  // Stalled
  NotStalled: 'Nothing blocks the sweep.',
  RunsStalled: 'Runs are stalled or not accepted; the message names the first of them.',
  WriteRefused: 'The API server refuses what the sweep wants to write (quota, admission, permissions); the message is its own.',
  // Suspended
  SuspendRequested: 'spec.suspend is true: runs save a checkpoint and stop, then the condition is True.',
  NotSuspended: 'spec.suspend is false.',
  // Fitted
  Fitted: 'The laws hold for all finished points.',
  FitPending: 'Points have ended since the last fit; the next one is being computed.',
  FitFailed: 'The laws could not be computed; the message says why.',
  TooFewPoints: 'A law needs more finished points, or more different ones; the message says what is missing.',
  // Complete
  AllPointsDone: 'Every point has ended.',
  PrecisionReached: 'The interval of the first target is as small as precisionPercent asks for.',
  BudgetExhausted: 'The budget allows no further run; points are left.',
  NotComplete: 'Points are left.',
  // Failed
  NotFailed: 'The sweep has not failed.',
  NoPointSucceeded: 'Every point has ended and none succeeded.',
} as const;
export type SweepReason = keyof typeof SWEEP_REASONS;

/** Derived from the conditions for the PHASE column; nothing decides on it. */
export const SWEEP_PHASES = ['Pending', 'Running', 'Stopping', 'Suspended', 'Complete', 'Failed'] as const;
export type SweepPhase = (typeof SWEEP_PHASES)[number];
