// The verbs of the API on top of the raw client: get, list in pages, create, server-side apply, delete with a UID precondition.
import { ApiError, isNotFound } from './apiError.ts';
import type { KubeClient } from './client.ts';
import type { KubeList, KubeObject, ObjectMeta, Resource } from './object.ts';
import { pathOf } from './object.ts';
import type { ItemReader } from './jsonList.ts';

export interface Named {
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface ApplyOptions {
  readonly fieldManager: string;
  /** Take fields from other managers; controllers do. True unless told. */
  readonly force?: boolean;
  readonly subresource?: string;
}

export interface ListOptions {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  /** Fields whose arrays and objects come back empty, since nobody reads them. */
  readonly unread?: readonly string[];
  /** Objects in a page. */
  readonly limit?: number | undefined;
  readonly signal?: AbortSignal;
}

const APPLY_PATCH = 'application/apply-patch+yaml';

/** The object, or undefined when there is none. */
export async function get<T extends KubeObject>(client: KubeClient, resource: Resource, at: Named): Promise<T | undefined> {
  try {
    return await client.request<T>('GET', pathOf(resource, at));
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** All objects and the resource version they were read at, fetched page by page. */
export async function list<T extends KubeObject>(client: KubeClient, resource: Resource, options: ListOptions = {}): Promise<{ items: T[]; resourceVersion: string }> {
  const items: T[] = [];
  const resourceVersion = await listEach<T>(client, resource, { limit: 500, ...options }, (item) => items.push(item));
  return { items, resourceVersion };
}

/**
 * As `list`, but each object is handed over as it comes and not kept, and without a limit all come in one answer; returns
 * the resource version of the whole. ApiError (410) when the pages took longer than the server keeps their version,
 * ListBrokenError when an answer had no end; objects were handed over before both.
 */
export async function listEach<T extends KubeObject>(client: KubeClient, resource: Resource, options: ListOptions, take: (object: T) => void): Promise<string> {
  const { namespace, labelSelector, limit, unread = [], signal } = options;
  // Items of a list lack apiVersion and kind.
  const items: ItemReader = { unread, take: (item) => take({ ...(item as T), apiVersion: resource.apiVersion, kind: resource.kind }) };
  let token: string | undefined;
  for (;;) {
    const query = { labelSelector, limit, continue: token };
    const { metadata } = await client.request<KubeList<T>>('GET', pathOf(resource, { namespace }), { query, items, ...(signal === undefined ? {} : { signal }) });
    token = metadata?.continue ?? '';
    if (token === '') return metadata?.resourceVersion ?? '';
  }
}

export function create<T extends KubeObject>(client: KubeClient, resource: Resource, object: T, fieldManager?: string): Promise<T> {
  const place = { namespace: object.metadata.namespace };
  return client.request<T>('POST', pathOf(resource, place), { body: object, query: { fieldManager } });
}

/** Server-side apply: the server keeps who owns which field, and creates the object when there is none. A UID in metadata is a precondition: ApiError (409) when a namesake is there. */
export async function apply<T extends KubeObject>(client: KubeClient, resource: Resource, object: T, options: ApplyOptions): Promise<T> {
  const { namespace, name } = object.metadata;
  const path = pathOf(resource, { namespace, name, subresource: options.subresource });
  try {
    return await client.request<T>('PATCH', path, { body: object, contentType: APPLY_PATCH, query: { fieldManager: options.fieldManager, force: options.force ?? true } });
  } catch (error) {
    throw isOtherUid(error) ? new ApiError(409, { reason: 'Conflict', message: `${resource.kind} "${name}" is another object of that name` }, `PATCH ${path}`) : error;
  }
}

/** The server calls another UID an attempt to change an immutable field. */
function isOtherUid(error: unknown): boolean {
  return error instanceof ApiError && error.status === 422 && error.details?.causes?.some((cause) => cause.field === 'metadata.uid') === true;
}

/** Server-side apply of the status subresource. Metadata with uid or resourceVersion makes them preconditions. */
export function applyStatus<T extends KubeObject>(client: KubeClient, resource: Resource, object: T, options: Omit<ApplyOptions, 'subresource'>): Promise<T> {
  return apply(client, resource, object, { ...options, subresource: 'status' });
}

/** Applies a status onto the version it was derived from, so that news which came meanwhile are not taken back; undefined when the object is gone. ApiError (409) when it has changed. */
export async function applyStatusOnto<T extends KubeObject>(client: KubeClient, resource: Resource, { metadata, status }: { readonly metadata: ObjectMeta; readonly status: object }, fieldManager: string): Promise<T | undefined> {
  const { namespace, name, uid, resourceVersion } = metadata;
  const object = { apiVersion: resource.apiVersion, kind: resource.kind, metadata: { namespace, name, uid, resourceVersion }, status };
  try {
    return await applyStatus<T>(client, resource, object as unknown as T, { fieldManager });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Merge patch: null removes a field, lists are replaced. A UID or resourceVersion in metadata is a precondition: ApiError (409) when the object is another by now. */
export async function mergePatch(client: KubeClient, resource: Resource, object: KubeObject, options: { readonly fieldManager: string; readonly subresource?: string | undefined }): Promise<void> {
  const { namespace, name } = object.metadata;
  const path = pathOf(resource, { namespace, name, subresource: options.subresource });
  await client.request('PATCH', path, { body: object, contentType: 'application/merge-patch+json', query: { fieldManager: options.fieldManager } });
}

/** Deletes the object if it still has that UID, and that version when one is given; an object already gone is success. Throws ApiError (409) when it has not. */
export async function remove(client: KubeClient, resource: Resource, at: Named & { readonly uid: string; readonly resourceVersion?: string }, propagationPolicy: 'Background' | 'Foreground' | 'Orphan' = 'Background'): Promise<void> {
  const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy, preconditions: { uid: at.uid, resourceVersion: at.resourceVersion } };
  try {
    await client.request('DELETE', pathOf(resource, at), { body });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
