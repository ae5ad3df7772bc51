import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { repositoryRoot } from '../../../local/src/paths.ts';
import type { World } from '../world.ts';

const files = globSync('examples/*.yaml', { cwd: repositoryRoot }).sort();

export const exampleCases = (world: () => World): void => {
  test('there are examples', () => { assert.ok(files.length > 0); });
  for (const file of files) {
    test(`${file} is accepted by the API server`, async () => {
      await world().kubectl('apply', '--dry-run=server', '-f', join(repositoryRoot, file));
    });
  }
};
