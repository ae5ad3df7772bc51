// Ids of points, and names, labels and owner of what a sweep makes.
import { createHash } from 'node:crypto';
import { API_VERSION, LABEL_POINT, LABEL_SWEEP, LABEL_SWEEP_UID } from '../api/labels.ts';
import type { ObjectMeta } from '../runtime/object.ts';
import type { Point } from './point.ts';

// A PolarPretrain's name has at most 63 characters; "-" and an id have 11, "-r100" has 5.
const MAX_PREFIX = 47;
const ID_DIGITS = 10;

export interface SweepMeta { readonly namespace: string; readonly name: string; readonly uid: string }

/** Ten hexadecimal digits of the canonical point: the same point has the same id in every sweep. */
export function pointId(point: Point): string {
  const { size, tokens, steps, learningRate, batchTriplets, seed } = point;
  return digits(JSON.stringify([size, tokens ?? null, steps ?? null, learningRate, batchTriplets, seed])).slice(0, ID_DIGITS);
}

/** As pointId, of what the points of one trunk have in common; begins with a letter that is no hexadecimal digit. */
export function trunkId(key: string): string {
  return `t${digits(key).slice(0, ID_DIGITS - 1)}`;
}

export function isTrunkId(id: string): boolean {
  return id.startsWith('t');
}

/** Name of the n-th run of a point, 0 and up. */
export function runName(sweep: SweepMeta, id: string, retry: number): string {
  return `${prefixOf(sweep)}-${id}${retry === 0 ? '' : `-r${retry}`}`;
}

/** Name of a ConfigMap with records. */
export function shardName(sweep: SweepMeta, shard: number): string {
  return `${prefixOf(sweep)}-points-${shard}`;
}

/** The point for people: size, budget, learning rate, batch and seed. */
export function describePoint({ size, tokens, steps, learningRate, batchTriplets, seed }: Point): string {
  const budget = tokens === undefined ? `${steps ?? 0} steps` : `${short(tokens)} tokens`;
  return `${size}, ${budget}, rate ${learningRate}, batch ${batchTriplets}, seed ${seed}`;
}

/** Metadata of a child: labels it is found by and the controller reference that lets it be collected with the sweep. */
export function childMeta(sweep: SweepMeta, name: string, id?: string): ObjectMeta {
  const labels = { [LABEL_SWEEP]: sweep.name, [LABEL_SWEEP_UID]: sweep.uid, ...(id === undefined ? {} : { [LABEL_POINT]: id }) };
  return {
    name, namespace: sweep.namespace, labels,
    ownerReferences: [{ apiVersion: API_VERSION, kind: 'PolarSweep', name: sweep.name, uid: sweep.uid, controller: true, blockOwnerDeletion: true }],
  };
}

/** Long names are cut and told apart by the UID. */
function prefixOf({ name, uid }: SweepMeta): string {
  if (name.length <= MAX_PREFIX) return name;
  const hash = `-${uid.slice(0, 8)}`;
  return name.slice(0, MAX_PREFIX - hash.length).replace(/-+$/, '') + hash;
}

function digits(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function short(count: number): string {
  for (const [unit, scale] of [['T', 1e12], ['B', 1e9], ['M', 1e6], ['K', 1e3]] as const) {
    if (count >= scale && Number.isInteger(count * 1000 / scale)) return `${count / scale}${unit}`;
  }
  return String(count);
}
