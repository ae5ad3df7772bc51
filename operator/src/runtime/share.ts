// Equal values held once: the objects of a cache differ in few of their fields.

/** Makes a value of the same content whose strings, arrays and objects are shared with earlier values where they are equal. */
export type Share = <T>(value: T) => T;

/**
 * Remembers up to twice `size` values; those not met again for that long are forgotten, which costs memory, never
 * correctness. What it returns is frozen.
 */
export function sharing(size = 8192): Share {
  const ids = new WeakMap<object, number>();
  let [young, old] = [new Map<string, unknown>(), new Map<string, unknown>()];
  let lastId = 0;

  const kept = (key: string, make: () => unknown): unknown => {
    const known = young.get(key) ?? old.get(key) ?? make();
    if (!young.has(key)) {
      young.set(key, known);
      if (young.size >= size) [young, old] = [new Map<string, unknown>(), young];
    }
    return known;
  };
  const nameOf = (value: unknown): string => {
    if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? '-';
    return `#${ids.get(value) ?? 0}`;
  };
  const named = <O extends object>(made: O): O => {
    ids.set(made, ++lastId);
    return Object.freeze(made);
  };
  const shared = (value: unknown): unknown => {
    if (typeof value === 'string') return value.length < 4 ? value : kept(`"${value}`, () => value);
    if (typeof value !== 'object' || value === null || ids.has(value)) return value;
    if (Array.isArray(value)) {
      const items: unknown[] = value.map(shared);
      return kept(`[${items.map(nameOf).join()}`, () => named(items));
    }
    const entries = Object.entries(value).map(([field, part]): [string, unknown] => [field, shared(part)]);
    return kept(`{${entries.map(([field, part]) => `${field}:${nameOf(part)}`).join()}`, () => named(Object.fromEntries(entries)));
  };
  return <T>(value: T): T => shared(value) as T;
}
