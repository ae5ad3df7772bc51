import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Score } from './comparison.ts';
import { drawItems } from './levels.ts';
import { referenceSuite } from './references.ts';
import type { Trajectory } from './rows.ts';
import { answer, constant, copier, longest, nearestLength, readsContent } from './testing/world.ts';

const LEVELS = { strong: 0, middle: 3, weak: 6 };
const levels = Object.keys(LEVELS).map((name) => ({ name, policies: [1, 2, 3, 4].map((number) => `${name}${String(number)}`) }));
const rows: Trajectory[] = levels.flatMap(({ name, policies }) => policies.flatMap((policy) => Array.from({ length: 30 }, (_, prompt) => (
  { promptId: `q${String(prompt)}`, prompt: `Question ${String(prompt)}?`, policy, output: answer(policy, prompt, { wrong: LEVELS[name as keyof typeof LEVELS] }), wrapper: 'sft' as const }))));
const items = drawItems(rows, { levels, references: 3, seed: 1 });
const options = { accuracy: 0.6, notWorse: 0.02, combine: 'mean' as const };

void describe('reference quality', () => {
  it('passes a scorer that reads what is said, and says what a weak reference costs it', async () => {
    const { verdict, numbers, tables, rows: shown } = await referenceSuite(readsContent, items, options);
    assert.equal(verdict.state, 'Pass', JSON.stringify(verdict));
    assert.equal(numbers['accuracy.strong']?.value, 1);
    assert.ok((numbers['rankCorrelation']?.lower ?? 0) > 0.8);
    assert.ok((numbers['sensitivity']?.value ?? -1) >= 0);
    assert.deepEqual(tables.averaging.map(({ references, accuracy }) => [references, accuracy.n]), [[1, 30], [2, 30], [3, 30]]);
    assert.equal(shown.length, 90);
  });

  for (const [name, score] of Object.entries({ constant, longest, nearestLength, copier })) {
    it(`fails the ${name} scorer`, async () => {
      const { verdict, numbers } = await referenceSuite(score, items, options);
      assert.equal(verdict.state, 'Fail', JSON.stringify(numbers));
    });
  }

  it('shows accuracy grow with references for a scorer with independent errors', async () => {
    let noise = 1;
    const noisy: Score = async (groups) => (await readsContent(groups)).map((scores) => scores.map((one) => one + ((noise = (noise * 48271) % 2147483647) / 2147483647 - 0.5) * 12));
    const { numbers } = await referenceSuite(noisy, items, options);
    assert.ok((numbers['gainOfReferences']?.lower ?? -1) > 0, JSON.stringify(numbers['gainOfReferences']));
  });

  it('takes a policy once per prompt, and says which levels are missing', () => {
    for (const { candidates, references } of items) {
      const texts = [...candidates.map(({ text }) => text), ...references.flatMap((one) => one.texts)];
      assert.equal(new Set(texts.map((text) => text.split(' ')[0])).size, 12);
    }
    assert.throws(() => drawItems(rows, { levels, references: 4, seed: 1 }), /levels: expected a prompt that 5 policies of each of strong, middle, weak answered, found none/);
  });
});
