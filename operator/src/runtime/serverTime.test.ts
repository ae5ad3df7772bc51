import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { hearDate, serverNow } from './serverTime.ts';

afterEach(() => { hearDate(new Date().toUTCString()); });

test('follows the date of answers, and not what is nearer than they can tell', () => {
  const far = Date.now() + 3_600_000;
  hearDate(new Date(far).toUTCString());
  assert.ok(Math.abs(serverNow() - far) < 2000);
  const before = serverNow();
  hearDate(new Date(far + 1000).toUTCString());
  assert.ok(serverNow() - before < 500);
});

test('ignores what is no date', () => {
  const before = serverNow();
  for (const header of [undefined, '', 'yesterday', ['a', 'b'], 5]) hearDate(header);
  assert.ok(Math.abs(serverNow() - before) < 500);
});
