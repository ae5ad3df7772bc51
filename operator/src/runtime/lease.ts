// The Lease that says which replica leads, written as client-go writes it.
import { isAlreadyExists, isConflict, isNotFound } from './apiError.ts';
import type { KubeClient } from './client.ts';
import { microTime } from './microTime.ts';
import { pathOf } from './object.ts';
import type { KubeObject, Resource } from './object.ts';

export const LEASES: Resource = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', plural: 'leases', namespaced: true };

export interface LeaseSpec {
  readonly holderIdentity?: string;
  readonly leaseDurationSeconds?: number;
  readonly acquireTime?: string;
  readonly renewTime?: string;
  readonly leaseTransitions?: number;
}

export interface Lease extends KubeObject {
  readonly spec?: LeaseSpec;
}

/** Where the Lease is and who asks for it. */
export interface LeasePlace {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  /** Tells this process from every other one. */
  readonly identity: string;
}

export function holderOf(lease: Lease | undefined): string {
  return lease?.spec?.holderIdentity ?? '';
}

/** Undefined when there is none. Throws when there is no answer within the time, or a refusal. */
export async function readLease(place: LeasePlace, timeoutMs: number): Promise<Lease | undefined> {
  try {
    return await place.client.request<Lease>('GET', pathOf(LEASES, place), { timeoutMs });
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Takes or renews: `before` with this holder, or a new Lease when there is none. Undefined when somebody else wrote first. Throws when there is no answer or a refusal. */
export async function writeLease(place: LeasePlace, before: Lease | undefined, durationMs: number, timeoutMs: number): Promise<Lease | undefined> {
  const renewTime = microTime();
  const held = before?.spec;
  const isOurs = holderOf(before) === place.identity;
  const transitions = whole(held?.leaseTransitions);
  return put(place, before, timeoutMs, {
    holderIdentity: place.identity,
    leaseDurationSeconds: Math.max(1, Math.ceil(durationMs / 1000)),
    acquireTime: isOurs ? held?.acquireTime ?? renewTime : renewTime,
    renewTime,
    leaseTransitions: before === undefined || isOurs ? transitions : transitions + 1,
  });
}

/** Gives the Lease away so that the next replica need not wait. Undefined when somebody else wrote first. */
export async function releaseLease(place: LeasePlace, held: Lease, timeoutMs: number): Promise<Lease | undefined> {
  const time = microTime();
  return put(place, held, timeoutMs, { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: time, renewTime: time, leaseTransitions: whole(held.spec?.leaseTransitions) });
}

async function put(place: LeasePlace, before: Lease | undefined, timeoutMs: number, spec: LeaseSpec): Promise<Lease | undefined> {
  const { client, namespace, name } = place;
  const base = { apiVersion: LEASES.apiVersion, kind: LEASES.kind };
  try {
    if (before === undefined) return await client.request<Lease>('POST', pathOf(LEASES, { namespace }), { timeoutMs, body: { ...base, metadata: { name, namespace }, spec } });
    // The whole metadata goes back: a write from an outdated Lease, or onto a namesake, is a conflict.
    return await client.request<Lease>('PUT', pathOf(LEASES, { namespace, name }), { timeoutMs, body: { ...base, metadata: before.metadata, spec: { ...before.spec, ...spec } } });
  } catch (error) {
    if (isConflict(error) || isAlreadyExists(error) || (before !== undefined && isNotFound(error))) return undefined;
    throw error;
  }
}

function whole(value: number | undefined): number {
  return Number.isSafeInteger(value) ? Math.max(0, value ?? 0) : 0;
}
