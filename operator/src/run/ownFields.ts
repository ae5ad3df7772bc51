// The fields of status the operator owns; every other belongs to ingest.
import type { RunStatus } from '../api/status.ts';

export const OWN_FIELDS = [
  'observedGeneration', 'conditions', 'phase', 'attempt', 'restarts', 'interruptions', 'job', 'workers', 'startTime', 'attemptStartTime', 'completionTime', 'stopRequest', 'checkpointDirectoryUri', 'startedFrom', 'resolved', 'registry', 'workload', 'clusterQueue',
  'budget', 'restartsByReason', 'lastFailure', 'failedNodes', 'resumeBeforeStep', 'effectiveTrainingTime', 'idleSeconds', 'idleSince', 'protectedSteps',
] as const satisfies readonly (keyof RunStatus)[];

export type OwnStatus = Pick<RunStatus, (typeof OWN_FIELDS)[number]>;
