import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, stringify } from 'yaml';
import type { Action } from '../runtime/apply.ts';
import { creationNotes, notesOf } from './notes.ts';
import { planRun } from './plan.ts';
import type { Plan } from './plan.ts';
import { statusOf } from './status.ts';
import { observedFrom, settled } from './testdata/world.ts';
import type { World } from './testdata/world.ts';

const TESTDATA = join(import.meta.dirname, 'testdata');
const UPDATE = process.env['UPDATE_TESTDATA'] === '1';

const names = readdirSync(TESTDATA).filter((file) => file.endsWith('.input.yaml')).map((file) => file.replace('.input.yaml', ''));

/** A world on disk; one that is like another says only what differs, as a JSON merge patch. */
function worldOf(name: string): World {
  const { like, ...own } = parse(readFileSync(join(TESTDATA, `${name}.input.yaml`), 'utf8')) as World & { readonly like?: string };
  return (like === undefined ? own : merged(worldOf(like), own)) as World;
}

function merged(base: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const into: Record<string, unknown> = typeof base === 'object' && base !== null && !Array.isArray(base) ? { ...base } : {};
  for (const [key, value] of Object.entries(patch)) into[key] = value === null ? undefined : merged(into[key], value);
  return into;
}

function brief(action: Action): string {
  if (action.do === 'delete') return `delete ${action.ref.kind} ${action.ref.name} uid ${action.uid}`;
  return `${action.do} ${action.object.kind ?? ''} ${action.object.metadata.name}${action.do === 'apply' ? ` uid ${action.uid}` : ''}`;
}

/** What a reader wants to see of a plan; of conditions only those that are not in their resting state. */
function told(plan: Plan, showObjects: boolean): unknown {
  const { conditions = [], ...status } = statusOf(plan, undefined);
  const created = plan.actions.flatMap((action) => (action.do === 'create' ? [action.object] : []));
  return {
    because: plan.because,
    actions: plan.actions.map((action) => (showObjects && action.do !== 'delete' ? { [action.do]: action.object } : brief(action))),
    requeueAfterMs: plan.requeueAfterMs ?? null,
    status: { ...status, conditions: Object.fromEntries(conditions.map(({ type, status: holds, reason, message }) => [type, `${holds} ${reason}: ${message}`])) },
    events: [...creationNotes(plan, created), ...notesOf(plan, { ...status, conditions })].map(({ type, reason, message }) => `${type} ${reason}: ${message}`),
  };
}

for (const name of names) {
  const world = worldOf(name);

  test(`plans ${name} as written down`, () => {
    const file = join(TESTDATA, `${name}.plan.yaml`);
    const actual = stringify(told(planRun(observedFrom(world)), world.showObjects === true), { lineWidth: 160, aliasDuplicateObjects: false });
    if (UPDATE) writeFileSync(file, actual);
    assert.equal(actual, readFileSync(file, 'utf8'));
  });

  test(`plans ${name} the same a second time and from a copy`, () => {
    const seen = observedFrom(world);
    assert.deepEqual(planRun(seen), planRun(seen));
    assert.deepEqual(planRun(observedFrom(world)), planRun(seen));
  });

  test(`comes to rest from ${name}: no action is left and status no longer changes`, () => {
    const rest = settled(observedFrom(world));
    assert.deepEqual(rest === undefined ? [] : planRun(rest).actions, []);
  });
}

test('every check decides in at least one written-down world', () => {
  const decided = new Set(names.map((name) => (parse(readFileSync(join(TESTDATA, `${name}.plan.yaml`), 'utf8')) as { because: string }).because));
  const all = ['isOver', 'isTrained', 'isUnreadable', 'hasStray', 'failedForGood', 'isStopping', 'isSuspended', 'isHeld', 'startsTooSlowly', 'isRunning', 'givesQuotaBack', 'isBlocked', 'podsLinger', 'awaitsQuota', 'isDelayed', 'mayBegin', 'isUncreated'];
  assert.deepEqual(all.filter((check) => !decided.has(check)), []);
});
