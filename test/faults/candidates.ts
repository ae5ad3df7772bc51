// How rows name what they make: triggers from steps of a trace, and plans from triggers.
import type { Effect, Fault, Plan, Trigger } from './plan.ts';
import type { Learnt, Step } from './reference.ts';

/** What a row needs to know of one workload. */
export interface Ground {
  readonly workload: string;
  readonly learnt: Learnt;
}

export interface Candidate {
  readonly plan: Plan;
  /** Why it says nothing that another does not; absent when it is worth running. */
  readonly pruned?: string;
}

export type Row = (ground: Ground) => readonly Candidate[];

export const RESOURCES = ['polarpretrains', 'polarfinetunes', 'jobs', 'pods', 'services', 'configmaps', 'persistentvolumeclaims'];
export const LAG_MS = 1500;

export const writes = ({ learnt }: Ground): readonly Step[] => learnt.trace.filter(({ kind }) => kind === 'write');
export const slug = (text: string): string => text.toLowerCase().replace(/[^a-z0-9*]+/g, '.').replaceAll('*', 'x');

export function plan(row: string, { workload }: Ground, name: string, more: Omit<Plan, 'id' | 'row' | 'workload'>): Candidate {
  return { plan: { id: `${row}-${workload}-${slug(name)}`, row, workload, ...more } };
}

export const at = ({ kind, key, nth }: Step): Trigger => (kind === 'write' ? { write: key, nth } : kind === 'read' ? { request: key, nth } : { line: key, nth });
export const one = (trigger: Trigger, effect: Effect): readonly Fault[] => [{ at: trigger, ...effect }];
