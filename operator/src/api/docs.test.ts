import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { EXIT_CODES, RESTART_AFTER } from './exitCodes.ts';
import { CONDITIONS, REASONS } from './reasons.ts';

const ROOT = join(import.meta.dirname, '../../..');
const page = readFileSync(join(ROOT, 'docs/conditions.md'), 'utf8');
const errors = readFileSync(join(ROOT, 'trainer/polar/errors.py'), 'utf8');

describe('the page on conditions', () => {
  test('explains every condition', () => {
    assert.deepEqual(CONDITIONS.filter((type) => !page.includes(`| \`${type}\` |`)), []);
  });
  test('names no reason that does not exist', () => {
    const named = [...page.matchAll(/^\| (?:\d+ \| )?`([A-Z][A-Za-z]+)` \|/gm)].map((match) => match[1] ?? '');
    const known = new Set<string>([...Object.keys(REASONS), ...CONDITIONS]);
    assert.ok(named.length > 20);
    assert.deepEqual(named.filter((name) => !known.has(name)), []);
  });
  for (const [reason, code] of Object.entries(EXIT_CODES).filter(([name]) => name !== 'Crashed')) {
    test(`says what exit code ${String(code)} means and whether it is retried`, () => {
      const next = { never: 'none', once: 'once, then none', charged: 'charged', free: 'free' }[RESTART_AFTER[reason as keyof typeof EXIT_CODES]];
      assert.match(page, new RegExp(`^\\| ${String(code)} \\| \`${reason}\` \\| ${next} \\|`, 'm'));
    });
  }
});

describe('the trainer', () => {
  test('ends with the exit codes that the operator knows', () => {
    const pairs = [...errors.matchAll(/exit_code = (\d+)\n {4}reason = "(\w+)"/g)].map((match) => [match[2], Number(match[1])]);
    assert.deepEqual(Object.fromEntries(pairs), EXIT_CODES);
  });
});
