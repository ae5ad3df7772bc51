// Performs a plan: entries first, so that nothing that follows can lose one; then stops and the like; then new runs.
import { MANAGER_OPERATOR } from '../api/labels.ts';
import { RUN_RESOURCES } from '../run/caches.ts';
import type { StoredRun } from '../run/caches.ts';
import { CONFIG_MAPS } from '../run/objects.ts';
import { ApiError } from '../runtime/apiError.ts';
import { ForeignObjectError, performAll } from '../runtime/apply.ts';
import type { Action } from '../runtime/apply.ts';
import type { KubeClient } from '../runtime/client.ts';
import { create, mergePatch } from '../runtime/verbs.ts';
import { SWEEPS } from './caches.ts';
import { isRefusal } from './conditions.ts';
import type { Failed } from './conditions.ts';
import type { Observed } from './observed.ts';
import type { Plan } from './plan.ts';
import { writesOf } from './records.ts';
import type { RecordWrite } from './records.ts';

export interface Performer {
  readonly client: KubeClient;
  readonly onStart: (run: StoredRun) => void;
}

export interface Performed {
  readonly error: Error | undefined;
  readonly failed: Failed | undefined;
}

/** Stops at the first error, except that a run which is refused for itself does not keep the others from starting. */
export async function perform(performer: Performer, seen: Observed, plan: Plan): Promise<Performed> {
  try {
    for (const write of writesOf(seen.sweep, seen.shards, plan.situation.newRecords)) await writeRecords(performer.client, write);
  } catch (error) {
    return failedAs(asError(error));
  }
  const stopped = await performAll(applierOf(performer), plan.actions);
  if (stopped !== undefined) return failedAs(stopped);
  return start(performer, plan);
}

async function start(performer: Performer, { starts }: Plan): Promise<Performed> {
  let refused: Performed | undefined;
  for (const { object } of starts) {
    const error = await performAll(applierOf(performer), [{ do: 'create', object }]);
    if (error === undefined) continue;
    const performed = failedAs(error, object.metadata.name);
    if (!isOwnFault(error)) return performed;
    refused ??= performed;
  }
  return refused ?? { error: undefined, failed: undefined };
}

function isOwnFault(error: Error): boolean {
  return error instanceof ForeignObjectError || (error instanceof ApiError && isRefusal(error));
}

function applierOf({ client, onStart }: Performer): Parameters<typeof performAll>[0] {
  const onAction = (action: Action, stored: unknown): void => {
    if (action.do === 'create' && stored !== undefined) onStart(stored as StoredRun);
  };
  return { client, resources: [RUN_RESOURCES.PolarPretrain, SWEEPS], fieldManager: MANAGER_OPERATOR, onAction };
}

/** An entry that is not written because somebody wrote first is written in the next pass, on top of that. */
async function writeRecords(client: KubeClient, { isNew, object }: RecordWrite): Promise<void> {
  if (isNew) await create(client, CONFIG_MAPS, object, MANAGER_OPERATOR);
  else await mergePatch(client, CONFIG_MAPS, object, { fieldManager: MANAGER_OPERATOR });
}

function failedAs(error: Error, run?: string): Performed {
  return { error, failed: { name: error.name, message: error.message, ...(error instanceof ApiError ? { status: error.status } : {}), ...(run === undefined ? {} : { run }) } };
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
