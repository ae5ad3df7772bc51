// Watches the API server directly, not through any proxy, and keeps every state of every object of every plan.
import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { CLAIMS, CONFIG_MAPS, JOBS, PODS, SERVICES } from '../../operator/src/run/objects.ts';
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

interface Space {
  readonly seen: Seen[];
  readonly objects: Map<string, KubeObject>;
}

export class Observer {
  readonly #admin: KubeClient;
  readonly #stop = new AbortController();
  readonly #spaces = new Map<string, Space>();
  readonly #changed = new EventEmitter().setMaxListeners(0);
  readonly #watching: Promise<unknown>;
  /** Times at which a watch could not go on where it had stopped, so that states may be missing. */
  gaps = 0;

  constructor(admin: KubeClient) {
    this.#admin = admin;
    this.#watching = Promise.all(WATCHED.map((resource) => this.#follow(resource)));
  }

  /** Every state of the namespace so far, in the order in which the store took them. */
  history(namespace: string): readonly Seen[] {
    return [...this.#space(namespace).seen].sort((a, b) => a.revision - b.revision);
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
  async until<T>(namespace: string, what: string, look: () => T | undefined, withinMs = 40_000): Promise<T> {
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

  async #follow(resource: Resource): Promise<void> {
    let version: string | undefined;
    while (!this.#stop.signal.aborted) {
      try {
        version ??= await this.#version(resource);
        for await (const seen of this.#events(resource, version)) version = seen;
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (String(error).includes('expired')) {
          this.gaps += 1;
          version = undefined;
        }
        await sleep(100);
      }
    }
  }

  /** Takes the events from a version on and yields the version of each. */
  async *#events(resource: Resource, resourceVersion: string): AsyncGenerator<string> {
    const query = { resourceVersion, allowWatchBookmarks: true };
    for await (const { type, object } of this.#admin.watch(pathOf(resource), query, this.#stop.signal)) {
      if (type === 'ERROR') throw new Error('watch expired');
      if (type !== 'BOOKMARK') this.#take(type, resource.kind, object);
      if (object.metadata.resourceVersion !== undefined) yield object.metadata.resourceVersion;
    }
  }

  async #version(resource: Resource): Promise<string> {
    const page = await this.#admin.request<{ metadata: { resourceVersion: string } }>('GET', pathOf(resource), { query: { limit: 1 } });
    return page.metadata.resourceVersion;
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
