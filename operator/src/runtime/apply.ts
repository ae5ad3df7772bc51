// Performs a list of actions in order and stops at the first error. Knows nothing about why.
import { isAlreadyExists, isConflict, isNotFound } from './apiError.ts';
import type { KubeClient } from './client.ts';
import { controllerOf, keyOf } from './object.ts';
import type { KubeObject, Resource } from './object.ts';
import { apply, create, get, mergePatch, remove } from './verbs.ts';

export interface ObjectRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export type Action =
  /** For a child not there yet. Already there and ours: success. Already there and not ours: ForeignObjectError. */
  | { readonly do: 'create'; readonly object: KubeObject }
  /** Server-side apply onto a child that was seen with this UID. */
  | { readonly do: 'apply'; readonly object: KubeObject; readonly uid: string }
  /** Merge patch of an object or a subresource of it; uid and resourceVersion in its metadata are preconditions: when they no longer hold nothing is done. */
  | { readonly do: 'patch'; readonly object: KubeObject; readonly subresource?: 'status' }
  /** Deletes exactly this object, never a namesake; with a version, only if nobody has changed it since, else nothing is done. */
  | { readonly do: 'delete'; readonly ref: ObjectRef; readonly uid: string; readonly resourceVersion?: string };

/** An object with a name we need exists and belongs to somebody else; it was not touched. */
export class ForeignObjectError extends Error {
  override readonly name = 'ForeignObjectError';
}

export interface Applier {
  readonly client: KubeClient;
  readonly resources: readonly Resource[];
  readonly fieldManager: string;
  /** Called after each action that succeeded, with the object as it is stored now where the server told it. */
  readonly onAction?: (action: Action, stored: KubeObject | undefined) => void;
}

/** Performs the actions in order; returns the first error, or undefined when all were done. */
export async function performAll(applier: Applier, actions: readonly Action[]): Promise<Error | undefined> {
  for (const action of actions) {
    let stored: KubeObject | undefined;
    try {
      stored = await perform(applier, action);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
    applier.onAction?.(action, stored);
  }
  return undefined;
}

async function perform(applier: Applier, action: Action): Promise<KubeObject | undefined> {
  const { client, fieldManager } = applier;
  switch (action.do) {
    case 'create':
      return createOwned(applier, action.object);
    case 'apply':
      return apply(client, resourceOf(applier, action.object), { ...action.object, metadata: { ...action.object.metadata, uid: action.uid } }, { fieldManager });
    case 'patch':
      return void (await patchUnlessChanged(applier, action));
    case 'delete':
      return void (await removeUnlessChanged(applier, action));
  }
}

async function removeUnlessChanged(applier: Applier, { ref, uid, resourceVersion }: Extract<Action, { do: 'delete' }>): Promise<void> {
  try {
    await remove(applier.client, resourceOf(applier, ref), { ...ref, uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) });
  } catch (error) {
    if (resourceVersion === undefined || !isConflict(error)) throw error;
  }
}

/** Somebody wrote first, or removed it: what they did is on its way to the cache, and what to do follows from that. */
async function patchUnlessChanged(applier: Applier, { object, subresource }: Extract<Action, { do: 'patch' }>): Promise<void> {
  try {
    await mergePatch(applier.client, resourceOf(applier, object), object, { fieldManager: applier.fieldManager, subresource });
  } catch (error) {
    if (!isConflict(error) && !isNotFound(error)) throw error;
  }
}

async function createOwned(applier: Applier, object: KubeObject): Promise<KubeObject> {
  const resource = resourceOf(applier, object);
  try {
    return await create(applier.client, resource, object, applier.fieldManager);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
    const found = await get(applier.client, resource, object.metadata);
    // Deleted since: the next reconcile creates it.
    if (found === undefined) throw error;
    if (controllerOf(found)?.uid !== controllerOf(object)?.uid) throw foreign(resource, found);
    return found;
  }
}

function foreign(resource: Resource, found: KubeObject): ForeignObjectError {
  const owner = controllerOf(found);
  const by = owner === undefined ? 'has no controller' : `is controlled by ${owner.kind} "${owner.name}" (uid ${owner.uid})`;
  return new ForeignObjectError(`${resource.kind} "${keyOf(found)}" already exists and ${by}; delete or rename it`);
}

function resourceOf(applier: Applier, of: { apiVersion?: string; kind?: string }): Resource {
  const resource = applier.resources.find((one) => one.apiVersion === of.apiVersion && one.kind === of.kind);
  if (resource === undefined) throw new Error(`no resource for ${String(of.apiVersion)} ${String(of.kind)}`);
  return resource;
}
