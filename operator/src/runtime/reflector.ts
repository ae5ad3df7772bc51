// Keeps a store equal to the API server: list, then watch, for ever. Ends only when its signal aborts.
//
//   list -> watch -> (server ends the watch) -> watch ... -> relist every `relistMs`
//     any error, 410 or silence: wait (jittered, doubling, capped), then list again
import { ApiError, isExpired } from './apiError.ts';
import { ListBrokenError } from './client.ts';
import type { KubeClient, WatchEvent } from './client.ts';
import { jittered, sleep } from './clock.ts';
import type { Log } from './log.ts';
import { cacheObjects, cacheRelists } from './metrics.ts';
import { keyOf, pathOf, withoutManagedFields } from './object.ts';
import type { KubeObject, Resource } from './object.ts';
import { Store } from './store.ts';
import type { Change, IndexFn, StoreReader } from './store.ts';
import { listEach } from './verbs.ts';

export interface ReflectorTiming {
  /** The server is asked to end a watch after this long. */
  readonly watchMs: number;
  /** A watch without event or bookmark for this long is taken for half-open; the server sends a bookmark about once a minute. */
  readonly silenceMs: number;
  readonly relistMs: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
}

export const DEFAULT_TIMING: ReflectorTiming = { watchMs: 300_000, silenceMs: 120_000, relistMs: 1_800_000, minBackoffMs: 200, maxBackoffMs: 10_000 };

export interface ReflectorOptions<T extends KubeObject> {
  readonly client: KubeClient;
  readonly resource: Resource;
  readonly log: Log;
  readonly namespace?: string | undefined;
  readonly labelSelector?: string;
  readonly indexes?: Readonly<Record<string, IndexFn<T>>>;
  /** Applied to every object before it is stored, after managedFields are dropped. */
  readonly transform?: (object: T) => T;
  /** Names of fields, besides managedFields, that hold arrays or objects which the transform drops: they come empty in lists. */
  readonly unread?: readonly string[];
  readonly timing?: Partial<ReflectorTiming>;
}

const PAGE = 500;

interface Subscriber<T> {
  readonly toKeys: (object: T) => readonly string[];
  readonly enqueue: (key: string) => void;
}

export class Reflector<T extends KubeObject> {
  readonly resource: Resource;
  readonly #options: ReflectorOptions<T>;
  readonly #timing: ReflectorTiming;
  readonly #store: Store<T>;
  readonly #subscribers: Subscriber<T>[] = [];
  #hasSynced = false;
  #lastSyncAt = 0;
  #resourceVersion = '';

  constructor(options: ReflectorOptions<T>) {
    this.resource = options.resource;
    this.#options = options;
    this.#timing = { ...DEFAULT_TIMING, ...options.timing };
    this.#store = new Store(options.indexes);
  }

  get store(): StoreReader<T> {
    return this.#store;
  }

  /** True once the first list is in the store; "absent" means nothing before that. */
  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** When the store was last known to be current (list, event or bookmark), in milliseconds since the epoch; 0 before the first list. */
  get lastSyncAt(): number {
    return this.#lastSyncAt;
  }

  /** The keys of every object, and from now on of every changed one as it was and as it is, are put into a queue. Relists report every object. */
  subscribe(toKeys: (object: T) => readonly string[], enqueue: (key: string) => void): void {
    const subscriber = { toKeys, enqueue };
    this.#subscribers.push(subscriber);
    for (const current of this.#store.list()) this.#tell(subscriber, { old: undefined, current });
  }

  /** Lists and watches until the signal aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    let backoffMs = this.#timing.minBackoffMs;
    let why = 'start';
    while (!signal.aborted) {
      const startedAt = Date.now();
      try {
        await this.#list(signal, why);
        await this.#watchUntilRelist(signal);
        why = 'period';
      } catch (error) {
        if (signal.aborted) return;
        why = isExpired(error) ? 'expired' : 'error';
        if (Date.now() - startedAt > this.#timing.maxBackoffMs) backoffMs = this.#timing.minBackoffMs;
        this.#options.log.warn({ resource: this.resource.plural, err: error, backoffMs }, 'watch failed, listing again');
        await sleep(jittered(backoffMs), signal);
        backoffMs = Math.min(backoffMs * 2, this.#timing.maxBackoffMs);
      }
    }
  }

  /** The store keeps what it has until the last page is there, and then holds the new list at once. */
  async #list(signal: AbortSignal, why: string): Promise<void> {
    cacheRelists.inc({ resource: this.resource.plural, why });
    const { items, resourceVersion } = await this.#listed(signal);
    this.#resourceVersion = resourceVersion;
    const changes = this.#store.replace(items);
    this.#hasSynced = true;
    this.#current();
    for (const change of changes) this.#notify(change);
  }

  async #listed(signal: AbortSignal): Promise<{ items: readonly T[]; resourceVersion: string }> {
    const { client, resource, namespace, labelSelector, unread = [] } = this.#options;
    const listed = async (limit?: number): Promise<{ items: readonly T[]; resourceVersion: string }> => {
      const items: T[] = [];
      const resourceVersion = await listEach<T>(client, resource, { namespace, labelSelector, limit, signal, unread: ['managedFields', ...unread] }, (item) => items.push(this.#known(item) ?? this.#trimmed(item)));
      return { items, resourceVersion };
    };
    try {
      // The server makes a whole list from what it holds in memory, and after a few quiet minutes every page from etcd.
      return await listed();
    } catch (error) {
      if (!(error instanceof ListBrokenError)) throw error;
      // It gives each answer a minute.
      return listed(PAGE);
    }
  }

  async #watchUntilRelist(signal: AbortSignal): Promise<void> {
    const until = Date.now() + jittered(this.#timing.relistMs);
    let backoffMs = this.#timing.minBackoffMs;
    while (!signal.aborted && Date.now() < until) {
      const startedAt = Date.now();
      await this.#watchOnce(signal);
      // A server that ends watches at once must not be asked in a tight loop.
      const healthy = Date.now() - startedAt > 1000;
      backoffMs = healthy ? this.#timing.minBackoffMs : Math.min(backoffMs * 2, this.#timing.maxBackoffMs);
      if (!healthy) await sleep(jittered(backoffMs), signal);
    }
  }

  async #watchOnce(signal: AbortSignal): Promise<void> {
    const { client, resource, namespace, labelSelector } = this.#options;
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(new Error(`no event or bookmark for ${this.#timing.silenceMs} ms`)), this.#timing.silenceMs);
    const timeoutSeconds = Math.ceil(jittered(this.#timing.watchMs) / 1000);
    const query = { labelSelector, resourceVersion: this.#resourceVersion, allowWatchBookmarks: true, timeoutSeconds };
    try {
      for await (const event of client.watch(pathOf(resource, { namespace }), query, AbortSignal.any([signal, silence.signal]))) {
        timer.refresh();
        this.#take(event);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #take(event: WatchEvent): void {
    if (event.type === 'ERROR') throw errorOf(event);
    const { metadata } = event.object;
    if (typeof metadata.resourceVersion !== 'string') throw new Error(`watch event ${String(event.type)} without metadata.resourceVersion`);
    if (event.type !== 'BOOKMARK') this.#notify(event.type === 'DELETED' ? this.#store.delete(keyOf(event.object)) : this.#store.set(this.#trimmed(event.object as T)));
    this.#resourceVersion = metadata.resourceVersion;
    this.#current();
  }

  /** The stored object when the listed one is the same version of it: a list that brings no news takes no memory. */
  #known({ metadata: { namespace, name, uid, resourceVersion } }: T): T | undefined {
    const known = this.#store.get(namespace, name);
    return known !== undefined && resourceVersion !== undefined && known.metadata.resourceVersion === resourceVersion && known.metadata.uid === uid ? known : undefined;
  }

  #trimmed(object: T): T {
    const light = withoutManagedFields(object);
    try {
      return this.#options.transform?.(light) ?? light;
    } catch (error) {
      // One odd object must not keep all others out of sight: it takes more memory, and its own reader says what is wrong with it.
      this.#options.log.warn({ resource: this.resource.plural, object: keyOf(object), err: error }, 'object kept as it came');
      return light;
    }
  }

  #current(): void {
    this.#lastSyncAt = Date.now();
    cacheObjects.set({ resource: this.resource.plural }, this.#store.size);
  }

  #notify(change: Change<T>): void {
    for (const subscriber of this.#subscribers) this.#tell(subscriber, change);
  }

  #tell(subscriber: Subscriber<T>, change: Change<T>): void {
    try {
      const keys = [change.old, change.current].flatMap((object) => (object === undefined ? [] : subscriber.toKeys(object)));
      for (const key of new Set(keys)) subscriber.enqueue(key);
    } catch (error) {
      this.#options.log.error({ resource: this.resource.plural, err: error }, 'no key for a changed object');
    }
  }
}

function errorOf(event: WatchEvent): Error {
  const status = event.object as unknown as { code?: number };
  return new ApiError(status.code ?? 500, status, 'WATCH');
}
