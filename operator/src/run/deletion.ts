// The end of a run with checkpoint.deletionPolicy Delete: its checkpoints go first. Bounded: a finalizer that cannot do its work lets go and says so.
import { API_VERSION, FINALIZER } from '../api/labels.ts';
import type { Action } from '../runtime/apply.ts';
import { isFinished, stopJob } from './children.ts';
import { millisOf } from './instant.ts';
import { attemptOf, isRegistryName } from './naming.ts';
import { registryStep, wasDone } from './registry.ts';
import type { RegistryRecord, Wanted } from './registry.ts';
import type { Failed } from './conditions.ts';
import type { Plan } from './plan.ts';
import type { Situation } from './situation.ts';
import type { Verdict } from './verdict.ts';

const PATIENCE_MS = 900_000;
const TASK: Wanted = { task: 'delete', key: 'deleted' };

/** Takes the finalizer of a run that has something to delete, and lets go of it when its policy was changed. */
export function holdForDeletion(s: Situation): readonly Action[] {
  const { metadata, spec } = s.seen.run;
  if (spec === undefined || metadata.deletionTimestamp !== undefined) return [];
  return held(s, spec.spec.checkpoint.deletionPolicy === 'Delete' && s.attempt > 0);
}

/** What a run that is being deleted still needs; only runs that hold the finalizer are seen so late. */
export function isDeleted(s: Situation): Verdict | undefined {
  const { deletionTimestamp } = s.seen.run.metadata;
  if (deletionTimestamp === undefined) return undefined;
  const patienceMs = millisOf(deletionTimestamp) + PATIENCE_MS - millisOf(s.seen.now);
  if (isSettled(s)) return { actions: held(s, false), progressing: told('the run is deleted') };
  if (patienceMs <= 0) return { registered: gaveUp(s), progressing: told('the checkpoints were not deleted in time') };
  const workers = s.seen.jobs.filter((job) => attemptOf(job) > 0 && !isFinished(job) && !isRegistryName(s.seen.run, job.metadata.name));
  if (workers.length > 0 || s.livePods.length > 0) return { actions: workers.flatMap(stopJob), requeueAfterMs: patienceMs, progressing: told('waiting for the workers to stop') };
  const users = s.seen.run.status.protectedSteps ?? [];
  if (users.length > 0) return { requeueAfterMs: patienceMs, progressing: told(`other objects use the checkpoints of step ${users.join(', ')}`) };
  const { actions, ended } = registryStep(s, TASK);
  return { actions, ...(ended === undefined ? {} : { registered: ended }), requeueAfterMs: patienceMs, progressing: told('the checkpoints are being deleted') };
}

/** Nothing is left to do: they are deleted, it was given up, the policy is no longer Delete, or the run never began. */
function isSettled(s: Situation): boolean {
  const policy = s.seen.run.spec?.spec.checkpoint.deletionPolicy;
  return policy !== 'Delete' || s.attempt === 0 || wasDone(s, TASK);
}

/** A namespace that is being deleted takes no new Jobs: the run must not hold it up. */
export function refusedDeletion({ because, situation: s }: Plan, failed: Failed | undefined): RegistryRecord | undefined {
  if (because !== 'isDeleted' || failed?.status !== 403 || !failed.message.includes('being terminated')) return undefined;
  return { ...gaveUp(s), message: `the namespace is being deleted: what is left of ${s.seen.run.status.checkpointDirectoryUri ?? 'the checkpoints'} stays` };
}

function gaveUp(s: Situation): RegistryRecord {
  return { ...TASK, outcome: 'Failed', message: `not deleted within ${PATIENCE_MS / 60_000} minutes: what is left of ${s.seen.run.status.checkpointDirectoryUri ?? 'the checkpoints'} stays`, time: s.seen.now };
}

function held(s: Situation, hold: boolean): readonly Action[] {
  const { kind, metadata: { namespace, name, uid, finalizers = [] } } = s.seen.run;
  if (finalizers.includes(FINALIZER) === hold) return [];
  // Server-side apply keeps the finalizers of others.
  return [{ do: 'apply', object: { apiVersion: API_VERSION, kind, metadata: { namespace, name, finalizers: hold ? [FINALIZER] : [] } }, uid }];
}

function told(message: string): Verdict['progressing'] {
  return { status: 'False', reason: 'Finished', message };
}
