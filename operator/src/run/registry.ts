// What the checkpoints of a run without workers need: told, verified, thinned out or deleted by a short Job, one at a time.
import { createHash } from 'node:crypto';
import { ANNOTATION_TASK, ANNOTATION_VERIFY, REGISTRY_CONTAINER } from '../api/labels.ts';
import { listedSteps } from '../api/branchPoints.ts';
import type { BranchPoints } from '../api/branchPoints.ts';
import type { CheckpointRecord, RunStatus } from '../api/status.ts';
import type { Action } from '../runtime/apply.ts';
import type { KubeObject } from '../runtime/object.ts';
import { isFinished } from './children.ts';
import { initOf } from './mounts.ts';
import { CONFIG_MAPS, isTrue } from './objects.ts';
import type { Job } from './objects.ts';
import { registryName } from './naming.ts';
import { desiredRegistry } from './registryJob.ts';
import type { Situation } from './situation.ts';

export type RegistryRecord = NonNullable<RunStatus['registry']>[number];
export type RegistryTask = RegistryRecord['task'];

/** A task and what asks for it; the same is not done twice. */
export interface Wanted {
  readonly task: RegistryTask;
  readonly key: string;
}

export interface RegistryStep {
  readonly actions: readonly Action[];
  /** The task has ended: to be written to status. */
  readonly ended?: RegistryRecord;
}

const MAX_MESSAGE = 2048;
const TASKS: readonly RegistryTask[] = ['report', 'verify', 'gc', 'delete'];

/** What a run that is over needs next; undefined when nothing, or when a task of it still has to be cleared away. */
export function wantedTask(s: Situation): Wanted | undefined {
  if (s.attempt === 0 || s.livePods.length > 0) return undefined;
  return [openTask(s), reportTask(s), verifyTask(s), gcTask(s)].find((wanted) => wanted !== undefined && !wasDone(s, wanted));
}

/** The next step of a task: create its Job, wait for it, or take down how it ended. */
export function registryStep(s: Situation, wanted: Wanted): RegistryStep {
  const { run, settings, source } = s.seen;
  if (run.spec === undefined) return { actions: [] };
  const job = s.seen.jobs.find((one) => one.metadata.name === registryName(run, wanted.task, wanted.key));
  if (job === undefined) {
    const { configMap, job: made } = desiredRegistry({ run, spec: run.spec, attempt: s.attempt, init: initOf(run.spec, source), settings }, wanted);
    return { actions: [{ do: 'create', object: configMap }, { do: 'create', object: made }] };
  }
  if (!isFinished(job)) return { actions: [] };
  return { actions: [], ended: recordOf(s, job, wanted) };
}

/** The registry of status with this record in the place of its task's former one. */
export function withRecord(before: RunStatus['registry'], record: RegistryRecord | undefined): RunStatus['registry'] {
  if (record === undefined) return before;
  return [...(before ?? []).filter(({ task }) => task !== record.task), record];
}

export function wasDone(s: Situation, { task, key }: Wanted): boolean {
  return s.seen.run.status.registry?.some((record) => record.task === task && record.key === key) === true;
}

/** One that was begun: what it has told meanwhile may be why it is not wanted any more. */
function openTask(s: Situation): Wanted | undefined {
  return s.seen.configMaps.map(taskOf).find((task) => task !== undefined && !wasDone(s, task));
}

/** Reports had not all arrived when the attempt ended. */
function reportTask(s: Situation): Wanted | undefined {
  const missed = s.seen.run.status.progress?.source === 'LastWords' && s.seen.settings.telemetry !== undefined;
  return missed ? { task: 'report', key: `attempt-${s.attempt}` } : undefined;
}

function verifyTask(s: Situation): Wanted | undefined {
  const asked = s.seen.run.metadata.annotations?.[ANNOTATION_VERIFY];
  return asked === undefined || asked === '' ? undefined : { task: 'verify', key: hash([asked]) };
}

/** keepLast or keepBest was lowered, or a checkpoint is listed or referred to no longer. */
function gcTask(s: Situation): Wanted | undefined {
  const spec = s.seen.run.spec?.spec.checkpoint;
  const history = s.seen.run.status.checkpoints?.history ?? [];
  if (spec === undefined) return undefined;
  const keep = keptSteps(history, spec, s.seen.run.status.protectedSteps);
  const excess = history.filter(({ step }) => !keep.has(step)).map(({ step }) => step);
  return excess.length === 0 ? undefined : { task: 'gc', key: hash([spec.keepLast, spec.keepBest, ...excess]) };
}

interface Retention extends BranchPoints {
  readonly keepLast: number;
  readonly keepBest: number;
}

/** The steps that a retention keeps of a history; as in trainer/polar/retention.py. */
function keptSteps(history: readonly CheckpointRecord[], { keepLast, keepBest, ...listed }: Retention, protectedSteps: readonly number[] = []): ReadonlySet<number> {
  const newest = history.toSorted((a, b) => b.step - a.step).slice(0, Math.max(1, keepLast));
  const best = history.filter(({ valLoss }) => valLoss !== undefined).toSorted((a, b) => Number(a.valLoss) - Number(b.valLoss) || b.step - a.step).slice(0, keepBest);
  return new Set([...newest, ...best].map(({ step }) => step).concat(listedSteps(history, listed), protectedSteps));
}

function recordOf(s: Situation, job: Job, wanted: Wanted): RegistryRecord {
  const failed = isTrue(job.status?.conditions, 'Failed');
  const said = lastWords(s, job);
  const message = said ?? failed?.message ?? 'done';
  return { ...wanted, outcome: failed === undefined ? 'Succeeded' : 'Failed', message: message.slice(0, MAX_MESSAGE), time: s.seen.now };
}

/** What the newest pod of the Job left as its termination message. */
function lastWords(s: Situation, job: Job): string | undefined {
  const texts = s.seen.registryPods.filter((pod) => pod.metadata.name.startsWith(`${job.metadata.name}-`))
    .toSorted((a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''))
    .map((pod) => pod.status?.containerStatuses?.find(({ name }) => name === REGISTRY_CONTAINER)?.state?.terminated?.message?.trim());
  const text = texts.find((one) => one !== undefined && one !== '');
  return text === undefined ? undefined : messageIn(text);
}

function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { readonly message?: unknown };
    return typeof message === 'string' ? message : text;
  } catch {
    return text;
  }
}

/** Once how a task ended is in status its ConfigMap goes; the Job stays for its log until its TTL. */
export function clearAway(s: Situation): readonly Action[] {
  return s.seen.configMaps.filter((one) => { const task = taskOf(one); return task !== undefined && wasDone(s, task); }).map(deletion);
}

/** The task a ConfigMap was made for; undefined when it is on its way out or of an attempt. */
function taskOf({ metadata: { annotations, deletionTimestamp } }: KubeObject): Wanted | undefined {
  const [name, ...key] = annotations?.[ANNOTATION_TASK]?.split('/') ?? [];
  const task = TASKS.find((one) => one === name);
  return task === undefined || deletionTimestamp !== undefined ? undefined : { task, key: key.join('/') };
}

function deletion({ metadata: { name, namespace = '', uid = '' } }: KubeObject): Action {
  return { do: 'delete', ref: { apiVersion: CONFIG_MAPS.apiVersion, kind: CONFIG_MAPS.kind, namespace, name }, uid };
}

function hash(parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16);
}
