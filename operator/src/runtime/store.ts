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

// Most values of most indexes have one object: a set of its own for each would take more memory than the objects' names.
type Keys = string | Set<string>;

export class Store<T extends KubeObject> implements StoreReader<T> {
  readonly #byKey = new Map<string, T>();
  readonly #byUid = new Map<string, T>();
  readonly #indexFns: ReadonlyMap<string, IndexFn<T>>;
  readonly #indexes = new Map<string, Map<string, Keys>>();

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
    const keys = values.get(value) ?? [];
    return this.#inOrder(typeof keys === 'string' ? [keys] : keys);
  }

  list(): readonly T[] {
    return this.#inOrder(this.#byKey.keys());
  }

  /** Puts an object in and returns what it replaces. */
  set(object: T): Change<T> {
    const key = keyOf(object);
    if (this.#byKey.get(key) === object) return { old: object, current: object };
    const current = deepFreeze(object);
    const { old } = this.delete(key);
    this.#byKey.set(key, current);
    if (current.metadata.uid !== undefined) this.#byUid.set(current.metadata.uid, current);
    for (const [values, value] of this.#indexed(current)) values.set(value, withKey(values.get(value), key));
    return { old, current };
  }

  delete(key: string): Change<T> {
    const old = this.#byKey.get(key);
    if (old === undefined) return { old, current: undefined };
    this.#byKey.delete(key);
    if (old.metadata.uid !== undefined) this.#byUid.delete(old.metadata.uid);
    for (const [values, value] of this.#indexed(old)) {
      const left = withoutKey(values.get(value), key);
      if (left === undefined) values.delete(value);
      else values.set(value, left);
    }
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

  *#indexed(object: T): Generator<[Map<string, Keys>, string]> {
    for (const [index, indexFn] of this.#indexFns) {
      const values = this.#indexes.get(index);
      if (values !== undefined) for (const value of indexFn(object)) yield [values, value];
    }
  }
}

function withKey(keys: Keys | undefined, key: string): Keys {
  if (keys === undefined || keys === key) return key;
  return typeof keys === 'string' ? new Set([keys, key]) : keys.add(key);
}

function withoutKey(keys: Keys | undefined, key: string): Keys | undefined {
  if (typeof keys !== 'object') return keys === key ? undefined : keys;
  keys.delete(key);
  return keys.size === 0 ? undefined : keys;
}
