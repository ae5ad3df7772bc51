// What must hold in every state the store was ever in (O3), checked over the whole history in the order of its revisions.
import { LABEL_ATTEMPT, LABEL_COMPLETION_INDEX, LABEL_RUN_UID } from '../../operator/src/api/labels.ts';
import type { RunStatus } from '../../operator/src/api/status.ts';
import type { Pod } from '../../operator/src/run/objects.ts';
import { controllerOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import type { Gap, Seen } from './observer.ts';

type Run = KubeObject & { readonly status?: RunStatus };
type Check = (seen: Seen, before: KubeObject | undefined, state: State) => string | undefined;

interface State {
  readonly objects: Map<string, KubeObject>;
  readonly byUid: Map<string, KubeObject>;
}

const MAX_STATUS_BYTES = 64 * 1024;

/** One line for each state that breaks an invariant. States in a gap are only steps to the ones behind it. */
export function brokenInvariants(history: readonly Seen[], gaps: readonly Gap[] = []): readonly string[] {
  const state: State = { objects: new Map(), byUid: new Map() };
  const broken: string[] = [];
  for (const seen of history) {
    const key = `${seen.kind}/${seen.object.metadata.name}`;
    const before = state.objects.get(key);
    advance(state, key, seen);
    if (gaps.some(({ from, to }) => seen.revision > from && seen.revision <= to)) continue;
    for (const check of CHECKS) {
      const problem = check(seen, before, state);
      if (problem !== undefined) broken.push(`revision ${seen.revision}: ${problem}`);
    }
  }
  return broken;
}

function advance({ objects, byUid }: State, key: string, { type, object }: Seen): void {
  if (type === 'DELETED') {
    objects.delete(key);
    byUid.delete(object.metadata.uid ?? '');
  } else {
    objects.set(key, object);
    byUid.set(object.metadata.uid ?? '', object);
  }
}

const isRun = (kind: string): boolean => kind.startsWith('Polar');
const statusOf = (object: KubeObject | undefined): RunStatus => (object as Run | undefined)?.status ?? {};
const isLive = (pod: Pod): boolean => pod.status?.phase !== 'Succeeded' && pod.status?.phase !== 'Failed';

function livePods(state: State, uid: string): readonly Pod[] {
  return [...state.objects.values()].filter((object) => object.kind === 'Pod' && object.metadata.labels?.[LABEL_RUN_UID] === uid && isLive(object as Pod) && WORKER.test(object.metadata.name));
}

// As the Job controller names them; orphaned ones have lost their owner and still run.
const WORKER = /-(pretrain|finetune)-\d+-\d+-[a-z0-9]{5}$/;

function oneLiveAttempt({ kind, object }: Seen, _before: KubeObject | undefined, state: State): string | undefined {
  const uid = kind === 'Pod' ? object.metadata.labels?.[LABEL_RUN_UID] : undefined;
  if (uid === undefined) return undefined;
  const pods = livePods(state, uid);
  const attempts = new Set(pods.map((pod) => pod.metadata.labels?.[LABEL_ATTEMPT]));
  if (attempts.size > 1) return `pods of attempts ${[...attempts].join(' and ')} of run ${uid} live at once: ${pods.map((pod) => pod.metadata.name).join(', ')}`;
  const ranks = pods.map((pod) => pod.metadata.labels?.[LABEL_COMPLETION_INDEX]);
  return new Set(ranks).size === ranks.length ? undefined : `two live pods of run ${uid} have one rank: ${pods.map((pod) => pod.metadata.name).join(', ')}`;
}

/** The status before and after, when a run was changed. */
function changeOf({ kind, object, type }: Seen, before: KubeObject | undefined): { readonly old: RunStatus; readonly now: RunStatus; readonly name: string } | undefined {
  if (!isRun(kind) || type === 'DELETED' || before?.metadata.uid !== object.metadata.uid) return undefined;
  return { old: statusOf(before), now: statusOf(object), name: `${kind} ${object.metadata.name}` };
}

function countersGrow(seen: Seen, before: KubeObject | undefined): string | undefined {
  const change = changeOf(seen, before);
  if (change === undefined) return undefined;
  const { old, now, name } = change;
  // Somebody with the right to it wiped the status; the operator never does.
  if (Object.keys(now).length === 0) return undefined;
  const back = (['attempt', 'restarts', 'interruptions', 'observedGeneration'] as const).filter((field) => (now[field] ?? 0) < (old[field] ?? 0));
  return back.length === 0 ? undefined : `status of ${name} goes back: ${back.map((field) => `${field} ${old[field]} to ${now[field]}`).join(', ')}`;
}

function stepsGrow(seen: Seen, before: KubeObject | undefined): string | undefined {
  const change = changeOf(seen, before);
  const [from, to] = [change?.old.progress?.step ?? 0, change?.now.progress?.step ?? 0];
  if (change === undefined || change.old.attempt !== change.now.attempt || to >= from) return undefined;
  return `progress.step of ${change.name} goes back from ${from} to ${to} within attempt ${change.now.attempt}`;
}

const isTrue = (status: RunStatus, wanted: string): boolean => status.conditions?.some((one) => one.type === wanted && one.status === 'True') === true;

/** A changed spec (a raised budget) may open a run again. */
function endIsFinal(seen: Seen, before: KubeObject | undefined): string | undefined {
  const change = changeOf(seen, before);
  if (change === undefined) return undefined;
  const { old, now, name } = change;
  const isReopened = (now.observedGeneration ?? 0) > (old.observedGeneration ?? 0);
  const left = ['Complete', 'Failed'].find((one) => isTrue(old, one) && !isTrue(now, one));
  if (left !== undefined && !isReopened) return `${name} was ${left} and is not any more`;
  return isTrue(now, 'Complete') && isTrue(now, 'Failed') ? `${name} is Complete and Failed` : undefined;
}

function statusIsSmall({ kind, object, type }: Seen): string | undefined {
  if (!isRun(kind) || type === 'DELETED') return undefined;
  const bytes = Buffer.byteLength(JSON.stringify(statusOf(object)));
  return bytes < MAX_STATUS_BYTES ? undefined : `status of ${kind} ${object.metadata.name} has ${bytes} bytes, expected less than ${MAX_STATUS_BYTES}`;
}

interface NewJob {
  readonly job: KubeObject;
  readonly attempt: number;
  readonly run: KubeObject | undefined;
}

/** The Job of an attempt that has just been created, and the run as it then was. */
function newJob({ kind, object, type }: Seen, state: State): NewJob | undefined {
  const uid = object.metadata.labels?.[LABEL_RUN_UID];
  const attempt = Number(object.metadata.labels?.[LABEL_ATTEMPT] ?? 0);
  if (kind !== 'Job' || type !== 'ADDED' || uid === undefined || attempt === 0) return undefined;
  return controllerOf(object)?.uid === uid ? { job: object, attempt, run: state.byUid.get(uid) } : undefined;
}

/** Status names the attempt before its Job is there, or a dead operator's successor could start it twice. */
function attemptIsToldFirst(seen: Seen, _before: KubeObject | undefined, state: State): string | undefined {
  const made = newJob(seen, state);
  if (made?.run === undefined) return undefined;
  const told = statusOf(made.run).attempt ?? 0;
  return told === made.attempt ? undefined : `Job ${made.job.metadata.name} of attempt ${made.attempt} was created while status.attempt was ${told}`;
}

function jobWaitsForPods(seen: Seen, _before: KubeObject | undefined, state: State): string | undefined {
  const made = newJob(seen, state);
  const others = made === undefined ? [] : livePods(state, made.run?.metadata.uid ?? '').filter((pod) => pod.metadata.labels?.[LABEL_ATTEMPT] !== String(made.attempt));
  return others.length === 0 ? undefined : `Job ${made?.job.metadata.name} was created while ${others.map((pod) => pod.metadata.name).join(', ')} lived`;
}

function jobIsNeeded(seen: Seen, _before: KubeObject | undefined, state: State): string | undefined {
  const made = newJob(seen, state);
  const status = statusOf(made?.run);
  return isTrue(status, 'Complete') || isTrue(status, 'Failed') ? `Job ${made?.job.metadata.name} was created after its run had ended` : undefined;
}

const CHECKS: readonly Check[] = [oneLiveAttempt, countersGrow, stepsGrow, endIsFinal, statusIsSmall, attemptIsToldFirst, jobWaitsForPods, jobIsNeeded];

/** At the end: every child's controller lives. */
export function orphans(objects: readonly KubeObject[]): readonly string[] {
  const uids = new Set(objects.map((object) => object.metadata.uid));
  const children = objects.filter((object) => object.metadata.labels?.[LABEL_RUN_UID] !== undefined);
  return children.flatMap((object) => {
    const owner = controllerOf(object);
    if (owner === undefined || uids.has(owner.uid)) return [];
    return [`${object.kind ?? ''} ${object.metadata.name} is controlled by ${owner.kind} ${owner.name} (uid ${owner.uid}), which is gone`];
  });
}
