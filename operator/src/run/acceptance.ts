// May an attempt of this run be started? An ordered list of checks; the first that objects is what the user reads.
import type { Reason } from '../api/reasons.ts';
import { resolveLaws } from './laws.ts';
import { isBucketUri } from '../api/scalars.ts';
import { claimsOf, initOf, mountsOf } from './mounts.ts';
import type { Claim } from './objects.ts';
import type { Observed, RunSpec } from './observed.ts';
import { isInBucket } from './store.ts';
import { podGroupMissing } from './podGroup.ts';

export interface Objection {
  readonly reason: Reason;
  readonly message: string;
  /** Nothing that is watched tells when it is mended. */
  readonly requeueAfterMs?: number;
}

const INSTALL_LOOK_MS = 60_000;

type Check = (seen: Observed, run: RunSpec) => Objection | undefined;

const CHECKS: readonly Check[] = [
  lawsApply,        // optimizer auto has what the paper's laws need
  sourceIsThere,    // the pre-train run the spec names exists
  sourceSucceeded,  // and has not failed
  sourceIsDone,     // and is complete with a checkpoint
  sourceHasStep,    // and still has the one at the step that is asked for
  storeCanRead,     // and lies where this run can read it
  claimsAreThere,   // every volume claim exists
  claimsAreIntact,  // and has not lost its volume
  claimIsShared,    // and more than one worker can write checkpoints to it
  podGroupIsKnown,  // and the gang scheduler it asks for is installed
];

/** The first objection, or undefined when an attempt may be started. */
export function objectionTo(seen: Observed): Objection | undefined {
  const { spec, specIssue } = seen.run;
  if (spec === undefined) return { reason: 'SpecInvalid', message: specIssue ?? 'spec: cannot be read' };
  for (const check of CHECKS) {
    const objection = check(seen, spec);
    if (objection !== undefined) return objection;
  }
  return undefined;
}

/** CEL has refused this already, unless the object is older than the rule; only the resolved batch is news. */
function lawsApply(_seen: Observed, run: RunSpec): Objection | undefined {
  const resolved = run.kind === 'PolarPretrain' ? resolveLaws(run.spec) : undefined;
  if (typeof resolved === 'string') return { reason: 'SpecInvalid', message: resolved };
  const { replicas, gpusPerWorker } = run.spec.workers;
  const processes = replicas * Math.max(1, gpusPerWorker);
  if (resolved === undefined || resolved.batchTriplets >= processes) return undefined;
  return { reason: 'SpecInvalid', message: `spec.optimizer.batchTriplets: auto is ${resolved.batchTriplets}, less than the ${processes} training processes of spec.workers` };
}

function sourceIsThere({ source }: Observed): Objection | undefined {
  if (source === undefined || source.exists) return undefined;
  return { reason: 'PretrainNotFound', message: `${source.field}: no PolarPretrain "${source.name}" in this namespace` };
}

function sourceSucceeded({ source }: Observed): Objection | undefined {
  if (source?.failed === undefined) return undefined;
  return { reason: 'PretrainFailed', message: `${source.field}: PolarPretrain "${source.name}" failed: ${source.failed}` };
}

function sourceIsDone({ source }: Observed): Objection | undefined {
  const isKnown = source?.checkpoint !== undefined || (typeof source?.which === 'number' && (source.kept ?? []).length > 0);
  if (source === undefined || (source.complete && isKnown)) return undefined;
  const missing = source.complete ? 'is complete but its last checkpoint is not in its status yet' : 'is not complete yet';
  return { reason: 'WaitingForCheckpoint', message: `PolarPretrain "${source.name}" ${missing}` };
}

function sourceHasStep({ source }: Observed): Objection | undefined {
  if (source === undefined || source.checkpoint !== undefined) return undefined;
  return { reason: 'CheckpointNotFound', message: `spec.resumeFrom.step: PolarPretrain "${source.name}" has no checkpoint at step ${source.which}, only at ${(source.kept ?? []).join(', ')}` };
}

/** A bucket is read with the endpoint and the credentials of the run's own store. */
function storeCanRead(seen: Observed, run: RunSpec): Objection | undefined {
  const init = initOf(run, seen.source);
  if (init === undefined || !isBucketUri(init.uri) || isInBucket(run)) return undefined;
  return { reason: 'StoreNotSupported', message: `spec.checkpoint.store: the run starts from ${init.uri}, which only runs with a store s3 can read: its endpoint and credentials are used` };
}

function claimsAreThere(seen: Observed, run: RunSpec): Objection | undefined {
  const missing = namedClaims(seen, run).filter((name) => claimNamed(seen, name) === undefined);
  if (missing.length === 0) return undefined;
  return { reason: 'VolumeNotFound', message: `no PersistentVolumeClaim ${missing.map((name) => `"${name}"`).join(', ')} in namespace "${seen.run.metadata.namespace}"` };
}

function claimsAreIntact(seen: Observed, run: RunSpec): Objection | undefined {
  const lost = namedClaims(seen, run).find((name) => claimNamed(seen, name)?.status?.phase === 'Lost');
  return lost === undefined ? undefined : { reason: 'VolumeNotBound', message: `PersistentVolumeClaim "${lost}" has lost its volume` };
}

function claimIsShared(seen: Observed, run: RunSpec): Objection | undefined {
  const { replicas } = run.spec.workers;
  const name = run.spec.checkpoint.store.pvc;
  if (name === undefined || replicas === 1 || modesOf(seen, name).includes('ReadWriteMany')) return undefined;
  return { reason: 'VolumeNotShared', message: `spec.checkpoint.store.pvc: ${replicas} workers need access mode ReadWriteMany, PersistentVolumeClaim "${name}" has ${modesOf(seen, name).join(', ') || 'none'}` };
}

function podGroupIsKnown(seen: Observed, run: RunSpec): Objection | undefined {
  const message = podGroupMissing(run, seen);
  return message === undefined ? undefined : { reason: 'PodGroupNotServed', message, requeueAfterMs: INSTALL_LOOK_MS };
}

function namedClaims(seen: Observed, run: RunSpec): readonly string[] {
  return claimsOf(mountsOf(run, initOf(run, seen.source)));
}

function modesOf(seen: Observed, name: string): readonly string[] {
  return claimNamed(seen, name)?.spec?.accessModes ?? [];
}

function claimNamed(seen: Observed, name: string): Claim | undefined {
  return seen.claims.find((claim) => claim.metadata.name === name);
}
