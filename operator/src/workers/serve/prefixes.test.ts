import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { groupTokens, shareGroups } from './prefixes.ts';

const range = (from: number, length: number): number[] => Array.from({ length }, (_, at) => from + at);
const shape = (sequences: number[][]): [number, number[]][] =>
  shareGroups(sequences).map(({ shared, members }): [number, number[]] => [shared, members.flatMap(({ copies }) => copies).sort((a, b) => a - b)]).sort((a, b) => (a[1][0] ?? 0) - (b[1][0] ?? 0));

test('candidates of two references are two groups, in whatever order they come', () => {
  const [one, two] = [range(0, 60), range(1000, 50)];
  const sequences = [[...one, 1], [...two, 2, 2], [...one, 3, 3, 3], [...two, 4], [...one, 5]];
  assert.deepEqual(shape(sequences), [[60, [0, 2, 4]], [50, [1, 3]]]);
});

test('a prompt that all have in common is not preferred to longer references that some have', () => {
  const prompt = range(0, 20);
  const sequences = [0, 1, 2, 3].map((at) => [...prompt, ...range(100 + 1000 * (at % 2), 80), 5000 + at]);
  assert.deepEqual(shape(sequences), [[100, [0, 2]], [100, [1, 3]]]);
});

test('many candidates are not split for the sake of a few words that two of them begin with', () => {
  const prompt = range(0, 300);
  const sequences = [[7, 8, 1], [7, 8, 2], [9], [10], [11], [12]].map((own) => [...prompt, ...own]);
  assert.deepEqual(shape(sequences), [[300, [0, 1, 2, 3, 4, 5]]]);
});

test('equal sequences are computed once, and one that is the beginning of others is in their group', () => {
  const prompt = range(0, 100);
  const groups = shareGroups([prompt, [...prompt, 1], prompt, [...prompt, 2]]);
  assert.equal(groups.length, 1);
  assert.equal(groups[0] === undefined ? 0 : groupTokens(groups[0]), 102);
});

test('every sequence is in one group, which begins as it does, and never more tokens are computed than without sharing', () => {
  const sequence = fc.array(fc.nat(2), { minLength: 1, maxLength: 40 });
  fc.assert(fc.property(fc.array(sequence, { maxLength: 40 }), (sequences) => {
    const groups = shareGroups(sequences);
    const places = groups.flatMap(({ members }) => members.flatMap(({ copies }) => copies));
    assert.deepEqual([...places].sort((a, b) => a - b), sequences.map((_, at) => at));
    for (const { shared, members } of groups) {
      for (const { ids, copies } of members) {
        for (const place of copies) assert.deepEqual(sequences[place], Array.from(ids));
        assert.deepEqual(Array.from(ids).slice(0, shared), Array.from(members[0]?.ids ?? []).slice(0, shared));
      }
    }
    assert.ok(groups.reduce((sum, group) => sum + groupTokens(group), 0) <= sequences.reduce((sum, ids) => sum + ids.length, 0));
  }), { numRuns: 500, seed: 5 });
});

test('time is linear in the tokens even when each sequence is the beginning of the next', () => {
  const sequences = Array.from({ length: 2000 }, (_, at) => range(0, at + 1));
  const t0 = performance.now();
  const groups = shareGroups(sequences);
  assert.ok(performance.now() - t0 < 3000);
  assert.equal(groups.reduce((sum, { members }) => sum + members.length, 0), 2000);
});
