// Watches the API server directly, not through any proxy, and keeps every state of every object of every plan.
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { CLAIMS, CONFIG_MAPS, JOBS, PODS, SERVICES } from '../../operator/src/run/objects.ts';
import { isExpired } from '../../operator/src/runtime/apiError.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { pathOf, withoutManagedFields } from '../../operator/src/runtime/object.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';

export interface Seen {
  /** Revision of the store: all objects of all kinds are ordered by it. */
  readonly revision: number;
  readonly at: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly kind: string;
  readonly object: KubeObject;
}

export const WATCHED: readonly Resource[] = [RUN_RESOURCES.PolarPretrain, RUN_RESOURCES.PolarFinetune, JOBS, PODS, SERVICES, CONFIG_MAPS, CLAIMS];

// Made by the cluster in every namespace, not by anyone in a plan.
const NOISE = new Set(['ConfigMap/kube-root-ca.crt']);

/** Revisions between which states of a kind may be missing, as a watch could not go on where it had stopped. */
export interface Gap {
  readonly from: number;
  readonly to: number;
}

class WatchLost extends Error {}

interface Space {
  readonly seen: Seen[];
  readonly objects: Map<string, KubeObject>;
}

const LIST_TIMEOUT_MS = 5000;

const keyIn = (namespace: string | undefined, { metadata }: KubeObject): string => `${namespace ?? ''}/${metadata.name}`;

export class Observer {
  readonly #admin: KubeClient;
  readonly #stop = new AbortController();
  readonly #spaces = new Map<string, Space>();
  readonly #changed = new EventEmitter().setMaxListeners(0);
  readonly #watching: Promise<unknown>;
  readonly #gaps: Gap[] = [];

  constructor(admin: KubeClient) {
    this.#admin = admin;
    this.#watching = Promise.all(WATCHED.map((resource) => this.#follow(resource)));
  }

  /** Every state of the namespace so far, in the order in which the store took them. */
  history(namespace: string): readonly Seen[] {
    return [...this.#space(namespace).seen].sort((a, b) => a.revision - b.revision);
  }

  /** What of the namespace's time was not seen state by state. */
  gaps(namespace: string): readonly Gap[] {
    const since = this.#space(namespace).seen[0]?.revision ?? Infinity;
    return this.#gaps.filter(({ to }) => to >= since);
  }

  objects<T extends KubeObject>(namespace: string, kind: string): readonly T[] {
    return [...this.#space(namespace).objects.values()].filter((object) => object.kind === kind) as unknown as readonly T[];
  }

  /** Called with each new state; the returned function ends that. */
  subscribe(namespace: string, listener: (seen: Seen) => void): () => void {
    this.#changed.on(namespace, listener);
    return () => this.#changed.off(namespace, listener);
  }

  /** The first defined value that `look` gives, asked after every change. Throws after the time, with what `look` says is there instead. */
  async until<T>(namespace: string, what: string, look: () => T | undefined, withinMs: number): Promise<T> {
    const deadline = Date.now() + withinMs;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`not within ${withinMs / 1000} s: ${what}`);
      await this.#nextChange(namespace, 250);
    }
  }

  forget(namespace: string): void {
    this.#spaces.delete(namespace);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#watching;
  }

  #nextChange(namespace: string, atMostMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#changed.off(namespace, done);
        resolve();
      };
      const timer = setTimeout(done, atMostMs);
      this.#changed.on(namespace, done);
    });
  }

  #space(namespace: string): Space {
    const space = this.#spaces.get(namespace) ?? { seen: [], objects: new Map<string, KubeObject>() };
    this.#spaces.set(namespace, space);
    return space;
  }

  /** A watch that ended goes on from its last version; when the API server has forgotten that one, the states in between stay unseen. */
  async #follow(resource: Resource): Promise<void> {
    let version: string | undefined;
    let isLost = true;
    while (!this.#stop.signal.aborted) {
      try {
        if (isLost || version === undefined) version = await this.#list(resource, version);
        isLost = false;
        for await (const seen of this.#events(resource, version)) version = seen;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        isLost ||= error instanceof WatchLost || isExpired(error);
        await sleep(100);
      }
    }
  }

  /** Takes the events from a version on and yields the version of each. */
  async *#events(resource: Resource, resourceVersion: string): AsyncGenerator<string> {
    const query = { resourceVersion, allowWatchBookmarks: true };
    for await (const { type, object } of this.#admin.watch(pathOf(resource), query, this.#stop.signal)) {
      if (type === 'ERROR') throw new WatchLost(JSON.stringify(object));
      if (type !== 'BOOKMARK') this.#take(type, resource.kind, object);
      if (object.metadata.resourceVersion !== undefined) yield object.metadata.resourceVersion;
    }
  }

  /** Takes what a list has that was not seen, and yields its version. */
  async #list(resource: Resource, before: string | undefined): Promise<string> {
    const { items, metadata: { resourceVersion } } = await this.#admin.request<{ items: readonly KubeObject[]; metadata: { resourceVersion: string } }>('GET', pathOf(resource), { timeoutMs: LIST_TIMEOUT_MS });
    const listed = new Map(items.map((object) => [keyIn(object.metadata.namespace, object), object]));
    for (const { object } of this.#known(resource.kind)) {
      const { metadata: { uid, resourceVersion: version = resourceVersion } = {} } = listed.get(keyIn(object.metadata.namespace, object)) ?? {};
      if (uid !== object.metadata.uid) this.#take('DELETED', resource.kind, { ...object, metadata: { ...object.metadata, resourceVersion: version } });
    }
    const known = new Map(this.#known(resource.kind).map(({ key, object }) => [key, object.metadata.resourceVersion]));
    for (const [key, object] of listed) {
      const version = known.get(key);
      if (version !== object.metadata.resourceVersion) this.#take(version === undefined ? 'ADDED' : 'MODIFIED', resource.kind, object);
    }
    if (before !== undefined) this.#gaps.push({ from: Number(before), to: Number(resourceVersion) });
    return resourceVersion;
  }

  #known(kind: string): readonly { readonly key: string; readonly object: KubeObject }[] {
    const objects = [...this.#spaces].flatMap(([namespace, space]) => [...space.objects.values()].map((object) => ({ key: keyIn(namespace, object), object })));
    return objects.filter(({ object }) => object.kind === kind);
  }

  #take(type: Seen['type'], kind: string, full: KubeObject): void {
    const object = { ...withoutManagedFields(full), kind };
    const { namespace = '', name, resourceVersion = '0' } = object.metadata;
    if (NOISE.has(`${kind}/${name}`)) return;
    const space = this.#space(namespace);
    const seen: Seen = { revision: Number(resourceVersion), at: Date.now(), type, kind, object };
    space.seen.push(seen);
    if (type === 'DELETED') space.objects.delete(`${kind}/${name}`);
    else space.objects.set(`${kind}/${name}`, object);
    this.#changed.emit(namespace, seen);
  }
}
