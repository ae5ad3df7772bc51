// List and watch one kind, for as long as the agent lives. No error ends it: every failure is logged and retried with a
// capped, jittered delay; an expired resourceVersion, and every five minutes in any case, lists again.
import { isStatus } from './api.ts';
import type { Api, WatchEvent } from './api.ts';
import { sleep } from './clock.ts';
import { reasonOf } from './log.ts';
import type { Log } from './log.ts';

interface Kept { metadata: { uid: string; name: string; resourceVersion?: string } }
interface KubeList<T> { items: T[]; metadata: { resourceVersion: string; continue?: string } }

export interface ReflectorOptions<T> {
  readonly api: Api;
  /** Collection path, such as /api/v1/pods. */
  readonly path: string;
  readonly fieldSelector?: string;
  readonly onChange: (object: T) => void;
  readonly onGone: (last: T) => void;
  readonly log: Log;
}

const RELIST_MS = 300_000;
const WATCH_SECONDS = 240;
const MIN_DELAY_MS = 200;
const MAX_DELAY_MS = 10_000;

/** Invariant: `items` is the last listed state with every later watch event applied, keyed by UID. */
export class Reflector<T extends Kept> {
  readonly items = new Map<string, T>();
  readonly #options: ReflectorOptions<T>;
  #version: string | undefined;
  #listedAt = 0;
  #failures = 0;
  #synced: () => void = () => undefined;
  readonly synced: Promise<void>;

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
    this.synced = new Promise((resolve) => { this.#synced = resolve; });
  }

  /** Runs until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#version === undefined || Date.now() - this.#listedAt > RELIST_MS) await this.#list();
        await this.#watch(signal);
        await sleep(MIN_DELAY_MS, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#recover(error);
        const cap = Math.min(MAX_DELAY_MS, MIN_DELAY_MS * 2 ** this.#failures);
        await sleep(cap * (0.5 + Math.random() / 2), signal);
      }
    }
  }

  #recover(error: unknown): void {
    this.#failures += 1;
    if (isStatus(error, 410) || this.#failures > 3) this.#version = undefined;
    this.#options.log('warn', 'watch interrupted', { path: this.#options.path, reason: reasonOf(error) });
  }

  #query(extra: Record<string, string>): string {
    const { path, fieldSelector } = this.#options;
    return `${path}?${new URLSearchParams({ ...(fieldSelector !== undefined && { fieldSelector }), ...extra }).toString()}`;
  }

  async #list(): Promise<void> {
    const found: T[] = [];
    let page: KubeList<T>;
    let next = '';
    do {
      page = await this.#options.api.get<KubeList<T>>(this.#query({ limit: '500', ...(next !== '' && { continue: next }) }));
      found.push(...page.items);
      next = page.metadata.continue ?? '';
    } while (next !== '');
    const uids = new Set(found.map((object) => object.metadata.uid));
    for (const object of [...this.items.values()]) if (!uids.has(object.metadata.uid)) this.#drop(object);
    for (const object of found) this.#keep(object);
    this.#version = page.metadata.resourceVersion;
    this.#listedAt = Date.now();
    this.#synced();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const path = this.#query({
      watch: 'true', allowWatchBookmarks: 'true', resourceVersion: this.#version ?? '', timeoutSeconds: String(WATCH_SECONDS),
    });
    for await (const event of this.#options.api.watch(path, signal)) {
      this.#take(event);
      this.#failures = 0;
    }
  }

  #take(event: WatchEvent): void {
    if (event.type === 'ERROR') {
      this.#version = undefined;
      throw new Error(event.object.message ?? 'the API server ended the watch');
    }
    const object = event.object as unknown as T;
    if (event.type === 'DELETED') this.#drop(object);
    else if (event.type !== 'BOOKMARK') this.#keep(object);
    this.#version = event.object.metadata.resourceVersion;
  }

  #keep(object: T): void {
    const before = this.items.get(object.metadata.uid);
    if (before?.metadata.resourceVersion === object.metadata.resourceVersion && before !== undefined) return;
    this.items.set(object.metadata.uid, object);
    this.#options.onChange(object);
  }

  #drop(object: T): void {
    this.items.delete(object.metadata.uid);
    this.#options.onGone(object);
  }
}
