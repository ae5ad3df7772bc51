import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { ModelError } from './errors.ts';
import { openSession, type Session } from './session.ts';

interface Case { prefix: number[]; candidates: number[][]; scores: number[] }

const FOLDER = join(import.meta.dirname, '../../../../testdata/onnx');
const SHARED = { runTokens: 512, sharing: true };
let session: Session;

before(async () => { session = await openSession(join(FOLDER, 'model.onnx'), 1); });
after(async () => { await session.release(); });

function near(got: ArrayLike<number>, wanted: ArrayLike<number>, by: number): void {
  assert.equal(got.length, wanted.length);
  Array.from(got).forEach((score, at) => { assert.ok(Math.abs(score - (wanted[at] ?? NaN)) < by, `${String(score)} is not ${String(wanted[at])} (sequence ${String(at)})`); });
}

test('an exported graph gives the scores of the model that was exported, shared, unshared and in several runs', async () => {
  const cases = JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as Case[];
  assert.ok(cases.length > 0);
  for (const { prefix, candidates, scores } of cases) {
    const sequences = candidates.map((candidate) => [...prefix, ...candidate]);
    for (const options of [SHARED, { ...SHARED, sharing: false }, { ...SHARED, runTokens: 1 }]) near(await session.score(sequences, options), scores, 1e-4);
  }
});

const token = fc.integer({ min: 4, max: 319 });
const piece = (maxLength: number): fc.Arbitrary<number[]> => fc.array(token, { minLength: 1, maxLength });
/** Sequences over a few prefixes that are themselves prefixes of each other at times, some equal, in any order. */
const batch = fc.tuple(fc.array(piece(150), { minLength: 1, maxLength: 3 }), fc.array(fc.tuple(fc.nat(2), fc.nat(150), piece(40)), { minLength: 1, maxLength: 9 }))
  .map(([stems, picks]) => picks.map(([stem, cut, own]) => [...(stems[stem % stems.length] ?? []).slice(0, cut), ...own, 3]))
  .chain((made) => fc.tuple(fc.shuffledSubarray(made, { minLength: 1 }), fc.nat(made.length - 1)).map(([some, again]) => [...some, made[again] ?? []]));

test('sharing never changes a score, whatever the batch, its order and the size of a run', async () => {
  await fc.assert(fc.asyncProperty(batch, fc.integer({ min: 1, max: 600 }), async (sequences, runTokens) => {
    const alone = await session.score(sequences, { runTokens: 1, sharing: false });
    near(await session.score(sequences, { runTokens, sharing: true }), alone, 1e-5);
  }), { numRuns: 60, seed: 3 });
});

test('a file that is no graph is refused by name', async () => {
  await assert.rejects(openSession(join(FOLDER, 'polar.json'), 1), (error) => error instanceof ModelError && /polar\.json: not a graph/.test(error.message));
});
