// The parts of Kubernetes objects that these tests look at.
import type { Condition, RunStatus } from '../../operator/src/api/status.ts';
import type { SweepStatus } from '../../operator/src/api/sweepStatus.ts';

export interface Meta {
  readonly name: string;
  readonly uid: string;
  readonly generation?: number;
  readonly deletionTimestamp?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string; readonly controller?: boolean }[];
}

export interface Thing { readonly kind: string; readonly metadata: Meta }
export interface Run extends Thing { readonly status?: RunStatus }
export interface Sweep extends Thing { readonly status?: SweepStatus }
export interface Job extends Thing {
  readonly spec: { readonly parallelism: number; readonly template: { readonly metadata?: object; readonly spec: Readonly<Record<string, unknown>> }; readonly podFailurePolicy?: object };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[] };
}
export interface Pod extends Thing {
  readonly spec: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: readonly { readonly state?: { readonly terminated?: { readonly exitCode: number; readonly message?: string } } }[];
  };
}

export type ConditionName = 'Accepted' | 'PodsReady' | 'Progressing' | 'Stalled' | 'Suspended' | 'Complete' | 'Failed' | 'Fitted';

/** A condition of a run or a sweep. */
export const conditionOf = (of: Run | Sweep | undefined, type: ConditionName): Pick<Condition, 'status' | 'reason' | 'message'> | undefined =>
  of?.status?.conditions?.find((one) => one.type === type);

export const isTrue = (of: Run | Sweep | undefined, type: ConditionName): boolean => conditionOf(of, type)?.status === 'True';

export const attemptOf = (thing: Thing): number => Number(thing.metadata.labels?.['polar.training/attempt'] ?? 0);

export const runUidOf = (thing: Thing): string | undefined => thing.metadata.labels?.['polar.training/run-uid'];

/** What a run's status says, for the message of a failed wait. */
export const summaryOf = (run: Run | undefined): string => {
  if (run?.status === undefined) return run === undefined ? 'the run does not exist' : 'the run has no status';
  const { phase, attempt, restarts, progress, conditions = [] } = run.status;
  const lines = conditions.map(({ type, status, reason, message }) => `  ${type}=${status} ${reason}: ${message}`);
  const numbers = JSON.stringify({ phase, attempt, restarts, stage: progress?.stage, step: progress?.step });
  return [numbers, ...lines].join('\n');
};

/** The message of a run's condition; empty when it has none. */
export const messageOf = (run: Run, type: ConditionName): string => conditionOf(run, type)?.message ?? '';
