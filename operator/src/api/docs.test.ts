// The manual page on conditions against the constants in the code.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { EXIT_CODES, RESTART_AFTER } from './exitCodes.ts';
import type { FailureReason } from './exitCodes.ts';
import { CONDITIONS, PHASES, REASONS, SWEEP_CONDITIONS, SWEEP_REASONS } from './reasons.ts';

const ROOT = join(import.meta.dirname, '../../..');
const page = readFileSync(join(ROOT, 'docs/conditions.md'), 'utf8');
const errors = readFileSync(join(ROOT, 'trainer/polar/errors.py'), 'utf8');

/** Cells of the rows of all tables below a heading, the head of the tables left out. */
function rowsBelow(heading: string): readonly (readonly string[])[] {
  const start = page.indexOf(`\n## ${heading}`);
  assert.ok(start >= 0, `no heading "${heading}"`);
  const end = page.indexOf('\n## ', start + 1);
  const lines = page.slice(start, end < 0 ? undefined : end).split('\n').filter((line) => line.startsWith('| '));
  return lines.map((line) => line.slice(1, -1).split('|').map((cell) => cell.trim())).filter((cells) => cells[0] !== 'reason' && cells[0] !== 'code');
}

const named = (cell: string | undefined): string => /^`([A-Za-z]+)`$/.exec(cell ?? '')?.[1] ?? '';
const explained = new Map(rowsBelow('Reasons').map(([reason, what, todo]) => [named(reason), { what, todo }]));
const endings = new Map(rowsBelow('Why an attempt ended').map(([code, reason, next, what, todo]) => [named(reason), { code, next, what, todo }]));
const NEXT = { never: 'none', once: 'once, then none', charged: 'charged', free: 'free' } as const;

describe('the page on conditions', () => {
  test('explains every condition and every phase, and no other', () => {
    assert.deepEqual(rowsBelow('Conditions').map(([type]) => named(type)).filter((type) => type !== ''), [...CONDITIONS]);
    assert.deepEqual(rowsBelow('Phases').map(([phase]) => named(phase)).filter((phase) => phase !== ''), [...PHASES]);
  });
  for (const reason of Object.keys(REASONS)) {
    test(`says what ${reason} means and what to do about it`, () => {
      const { what = '', todo = '' } = explained.get(reason) ?? endings.get(reason) ?? {};
      assert.ok(what.length > 10 && todo.length > 3, `docs/conditions.md has no row for ${reason} with a meaning and something to do`);
    });
  }
  test('names no reason that does not exist', () => {
    const known = new Set<string>([...Object.keys(REASONS), '']);
    assert.deepEqual([...explained.keys(), ...endings.keys()].filter((reason) => !known.has(reason)), []);
  });
  for (const reason of Object.keys(RESTART_AFTER) as FailureReason[]) {
    test(`says what follows ${reason}, and its exit code`, () => {
      const code = reason === 'Crashed' ? 'other' : reason in EXIT_CODES ? String(EXIT_CODES[reason as keyof typeof EXIT_CODES]) : '-';
      const row = endings.get(reason);
      assert.deepEqual([row?.code, row?.next], [code, NEXT[RESTART_AFTER[reason]]]);
    });
  }
});

describe('the page on conditions of sweeps', () => {
  test('explains every condition and every reason, and no other', () => {
    assert.deepEqual(rowsBelow('Sweeps').map(([type]) => named(type)).filter((type) => type !== ''), [...SWEEP_CONDITIONS]);
    const rows = rowsBelow('Reasons of a sweep').filter(([reason]) => named(reason) !== '');
    assert.deepEqual(rows.map(([reason]) => named(reason)).sort(), Object.keys(SWEEP_REASONS).sort());
    assert.deepEqual(rows.filter(([, what = '', todo = '']) => what.length < 10 || todo.length < 4), []);
  });
});

describe('the trainer', () => {
  test('ends with the exit codes that the operator knows', () => {
    const pairs = [...errors.matchAll(/exit_code = (\d+)\n {4}reason = "(\w+)"/g)].map((match) => [match[2], Number(match[1])]);
    assert.deepEqual(Object.fromEntries(pairs), EXIT_CODES);
  });
});
