// The objects a reflector has seen, by key, by UID and by index. Objects are deep-frozen: readers may keep them, nobody may change them.
import { deepFreeze, joinKey, keyOf } from './object.ts';
import type { KubeObject } from './object.ts';

export type IndexFn<T> = (object: T) => readonly string[];

export interface Change<T> {
  readonly old: T | undefined;
  readonly current: T | undefined;
}

/** What readers of a cache may do with it. */
export interface StoreReader<T extends KubeObject> {
  get(namespace: string | undefined, name: string): T | undefined;
  byUid(uid: string): T | undefined;
  /** Objects for which the named index function gave that value, ordered by key. Throws on an index that was not declared. */
  byIndex(index: string, value: string): readonly T[];
  list(): readonly T[];
  readonly size: number;
}

export class Store<T extends KubeObject> implements StoreReader<T> {
  readonly #byKey = new Map<string, T>();
  readonly #byUid = new Map<string, T>();
  readonly #indexFns: ReadonlyMap<string, IndexFn<T>>;
  readonly #indexes = new Map<string, Map<string, Set<string>>>();

  constructor(indexFns: Readonly<Record<string, IndexFn<T>>> = {}) {
    this.#indexFns = new Map(Object.entries(indexFns));
    for (const index of this.#indexFns.keys()) this.#indexes.set(index, new Map());
  }

  get size(): number {
    return this.#byKey.size;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#byKey.get(joinKey(namespace, name));
  }

  byUid(uid: string): T | undefined {
    return this.#byUid.get(uid);
  }

  byIndex(index: string, value: string): readonly T[] {
    const values = this.#indexes.get(index);
    if (values === undefined) throw new Error(`no index "${index}": declared are ${[...this.#indexes.keys()].join(', ') || 'none'}`);
    return this.#inOrder(values.get(value) ?? []);
  }

  list(): readonly T[] {
    return this.#inOrder(this.#byKey.keys());
  }

  /** Puts an object in and returns what it replaces. */
  set(object: T): Change<T> {
    const current = deepFreeze(object);
    const { old } = this.delete(keyOf(current));
    this.#byKey.set(keyOf(current), current);
    if (current.metadata.uid !== undefined) this.#byUid.set(current.metadata.uid, current);
    this.#eachIndexed(current, (keys) => keys.add(keyOf(current)));
    return { old, current };
  }

  delete(key: string): Change<T> {
    const old = this.#byKey.get(key);
    if (old === undefined) return { old, current: undefined };
    this.#byKey.delete(key);
    if (old.metadata.uid !== undefined) this.#byUid.delete(old.metadata.uid);
    this.#eachIndexed(old, (keys) => keys.delete(key));
    return { old, current: undefined };
  }

  /** Makes the store hold exactly these objects; returns a change for every object, also for those that are the same as before. */
  replace(objects: readonly T[]): readonly Change<T>[] {
    const listed = new Set(objects.map(keyOf));
    const gone = [...this.#byKey.keys()].filter((key) => !listed.has(key));
    return [...gone.map((key) => this.delete(key)), ...objects.map((object) => this.set(object))];
  }

  #inOrder(keys: Iterable<string>): readonly T[] {
    return [...keys].sort().flatMap((key) => this.#byKey.get(key) ?? []);
  }

  #eachIndexed(object: T, visit: (keys: Set<string>) => void): void {
    for (const [index, indexFn] of this.#indexFns) {
      const values = this.#indexes.get(index) as Map<string, Set<string>>;
      for (const value of indexFn(object)) {
        const keys = values.get(value) ?? new Set();
        visit(keys);
        if (keys.size === 0) values.delete(value);
        else values.set(value, keys);
      }
    }
  }
}
