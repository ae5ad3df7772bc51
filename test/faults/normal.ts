// Objects of two runs of a workload made comparable: names the server drew, UIDs, times and versions are taken out.
import type { KubeObject } from '../../operator/src/runtime/object.ts';

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const TIME = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z/g;
const POD = /((?:pretrain|finetune)-\d+-\d+)-[a-z0-9]{5}(?![a-z0-9])/g;
const DROPPED = new Set(['uid', 'resourceVersion', 'creationTimestamp', 'managedFields', 'generateName', 'selfLink']);

export type Flat = ReadonlyMap<string, string>;

export interface Names {
  readonly namespace: string;
  readonly uids: readonly string[];
}

export function normalText(text: string, { namespace, uids }: Names): string {
  const plain = text.replace(UUID, '<uid>').replace(TIME, '<time>').replace(POD, '$1-*').replaceAll(namespace, '<ns>');
  return uids.reduce((done, uid) => done.replaceAll(uid.slice(0, 8), '<uid>'), plain);
}

/** Every leaf of every object by its path. Objects whose names fall together (pods of one rank) are told apart by a number. */
export function flatten(objects: readonly KubeObject[], names: Names): Flat {
  const flat = new Map<string, string>();
  const used = new Map<string, number>();
  const normal = objects.map((object) => JSON.parse(normalText(JSON.stringify(object), names)) as KubeObject);
  const ordered = normal.map((object) => ({ object, text: JSON.stringify(object) })).sort((a, b) => a.text.localeCompare(b.text));
  for (const { object } of ordered) {
    const key = `${object.kind ?? ''}/${object.metadata.name}`;
    const number = (used.get(key) ?? 0) + 1;
    used.set(key, number);
    leaves(number === 1 ? key : `${key}#${number}`, object, flat);
  }
  return flat;
}

function leaves(path: string, value: unknown, into: Map<string, string>): void {
  if (typeof value !== 'object' || value === null) {
    const document = documentIn(value);
    if (document === undefined) into.set(path, JSON.stringify(value) ?? 'undefined');
    else leaves(path, document, into);
    return;
  }
  const entries = Array.isArray(value) ? value.map((item: unknown, index) => [String(keyOfItem(item) ?? index), item] as const) : Object.entries(value);
  if (entries.length === 0) into.set(path, Array.isArray(value) ? '[]' : '{}');
  for (const [key, item] of entries) if (!DROPPED.has(key)) leaves(`${path}.${key}`, item, into);
}

/** A run config in a ConfigMap is compared field by field too. */
function documentIn(value: unknown): object | undefined {
  if (typeof value !== 'string' || !value.startsWith('{')) return undefined;
  try {
    return JSON.parse(value) as object;
  } catch {
    return undefined;
  }
}

/** Conditions and the like are told by their type, not their place. */
function keyOfItem(item: unknown): string | undefined {
  const { type, name } = (typeof item === 'object' && item !== null ? item : {}) as { type?: unknown; name?: unknown };
  return typeof type === 'string' ? type : typeof name === 'string' ? name : undefined;
}

// They measure time, or are each operator's own.
const MEASURED = /\.(status\.(effectiveTrainingTime|idleSeconds)|meanSecondsBetweenFailures|telemetry\.address)$|\.data\.ca\.crt$/;

/** Paths at which the two differ, with both values, unless masked. */
export function differences(wanted: Flat, got: Flat, masked: ReadonlySet<string>): readonly string[] {
  const paths = [...new Set([...wanted.keys(), ...got.keys()])].filter((path) => !masked.has(path) && !MEASURED.test(path) && wanted.get(path) !== got.get(path));
  return paths.map((path) => `${path}: expected ${wanted.get(path) ?? 'nothing'}, got ${got.get(path) ?? 'nothing'}`);
}

/** Only what a user sees of the runs: phase, conditions and how often each was restarted at its own cost. */
export function outcomes(flat: Flat): Flat {
  const told = /^Polar\w+\/[^.]+\.(status\.(phase|restarts)|status\.conditions\.\w+\.(status|reason)|spec\..*)$/;
  return new Map([...flat].filter(([path]) => told.test(path)));
}
