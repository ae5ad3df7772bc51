// Equal values held once: the objects of a cache differ in few of their fields.

/**
 * Makes a value of the same content whose strings, arrays and objects are shared with earlier values where they are equal.
 * Given an earlier result that is probably much the same, what is equal there need not be looked up.
 */
export type Share = <T>(value: T, last?: unknown) => T;

/**
 * Remembers up to twice `size` strings and as many arrays and objects; those not met again for that long are forgotten,
 * which costs memory, never correctness. What it returns is frozen.
 */
export function sharing(size = 8192): Share {
  const [strings, wholes] = [remembering<string>(size), remembering<object>(size)];
  const ids = new WeakMap<object, number>();
  let lastId = 0;

  const nameOf = (value: unknown): string => {
    if (typeof value === 'string') return `${value.length}"${value}`;
    return typeof value === 'object' && value !== null ? `#${ids.get(value) ?? 0}` : String(value);
  };
  const named = <O extends object>(made: O): O => {
    ids.set(made, ++lastId);
    return Object.freeze(made);
  };
  const sharedList = (value: readonly unknown[], last: unknown): unknown => {
    const before: readonly unknown[] | undefined = Array.isArray(last) ? last : undefined;
    const items = value.map((item, i) => shared(item, before?.[i]));
    if (before?.length === items.length && items.every((item, i) => item === before[i])) return before;
    return wholes(`[${items.map(nameOf).join()}`, () => named(items));
  };
  const sharedObject = (value: object, last: unknown): unknown => {
    const fields = Object.keys(value);
    const before = isObject(last) && hasFields(last, fields) ? last : undefined;
    const parts = fields.map((field) => shared((value as Fields)[field], before?.[field]));
    if (before !== undefined && parts.every((part, i) => part === before[fields[i] ?? ''])) return before;
    return wholes(`{${parts.map((part, i) => `${nameOf(fields[i])}:${nameOf(part)}`).join()}`, () => named(Object.fromEntries(parts.map((part, i): [string, unknown] => [fields[i] ?? '', part]))));
  };
  const shared = (value: unknown, last: unknown): unknown => {
    if (value === last) return last;
    if (typeof value === 'string') return value.length < 4 ? value : strings(value, () => value);
    if (typeof value !== 'object' || value === null || ids.has(value)) return value;
    return Array.isArray(value) ? sharedList(value, last) : sharedObject(value, last);
  };
  return <T>(value: T, last?: unknown): T => shared(value, last) as T;
}

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

function hasFields(value: Fields, fields: readonly string[]): boolean {
  const own = Object.keys(value);
  return own.length === fields.length && own.every((field, i) => field === fields[i]);
}

/** What was made for a key, by two generations of keys: the older one is forgotten when the younger one is full. */
function remembering<T>(size: number): (key: string, make: () => T) => T {
  let [young, old] = [new Map<string, T>(), new Map<string, T>()];
  return (key, make) => {
    const known = young.get(key);
    if (known !== undefined) return known;
    const kept = old.get(key) ?? make();
    young.set(key, kept);
    if (young.size >= size) [young, old] = [new Map<string, T>(), young];
    return kept;
  };
}
