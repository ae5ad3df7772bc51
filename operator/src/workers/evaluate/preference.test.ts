import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { preferenceSuite } from './preference.ts';
import { styleWins } from './styleBaseline.ts';
import { pairNumbers } from './statistics.ts';
import type { Comparison } from './comparison.ts';
import { constant, copier, longest, nearestLength, readsContent, triplets } from './testing/world.ts';

/** Triplets in which only the order of words says which answer is right: chosen has two words exchanged, rejected seven reversed. */
const ordered: Comparison[] = triplets(80).map((one) => {
  const words = one.reference.response.split(' ');
  const chosen = words.with(2, words[3] ?? '').with(3, words[2] ?? '').join(' ');
  return { ...one, chosen, rejected: [...words.slice(0, 2), ...words.slice(2, 9).toReversed(), ...words.slice(9)].join(' ') };
});
const options = { accuracy: 0.55, seed: 1 };

void describe('preference accuracy', () => {
  it('passes a scorer that reads what the baselines cannot, with n of each category', async () => {
    const { verdict, numbers, tables } = await preferenceSuite(readsContent, ordered, options);
    assert.equal(verdict.state, 'Pass', JSON.stringify(verdict));
    assert.equal(numbers['accuracy']?.n, 80);
    assert.deepEqual(tables.byCategory.map(({ category, accuracy, baselines }) => [category, accuracy.n, baselines['style']?.n]), [['even', 40, 40], ['odd', 40, 40]]);
  });

  for (const [name, score] of Object.entries({ constant, longest, nearestLength, copier })) {
    it(`fails the ${name} scorer`, async () => {
      assert.equal((await preferenceSuite(score, ordered, options)).verdict.state, 'Fail');
    });
  }

  it('fails a scorer of length where the longer answer is always the better', async () => {
    const longer = ordered.map((one) => ({ ...one, chosen: `${one.chosen} and so on and so on` }));
    const { verdict, numbers } = await preferenceSuite(longest, longer, options);
    assert.equal(numbers['accuracy']?.value, 1);
    assert.equal(numbers['baseline.longer']?.value, 1);
    assert.equal(verdict.state, 'Fail');
  });

  it('keeps a slot for other endpoints, one of which may fail', async () => {
    const { tables } = await preferenceSuite(readsContent, ordered, { ...options, others: { same: readsContent, broken: () => Promise.reject(new Error('no answer')) } });
    assert.deepEqual(tables.others['broken'], { error: 'no answer' });
    assert.ok('n' in (tables.others['same'] ?? {}));
  });
});

void describe('style baseline', () => {
  it('finds a style that tells the chosen, on prompts it was not fitted on', () => {
    const bold = ordered.map((one, at) => ({ ...one, chosen: at % 4 === 0 ? one.chosen : `**Yes**: ${one.chosen}` }));
    const { accuracy } = pairNumbers(styleWins(bold, { folds: 5, seed: 1 }));
    assert.ok((accuracy.value ?? 0) >= 0.7, JSON.stringify(accuracy));
  });

  it('does not learn the prompts that it is measured on', () => {
    const coin = triplets(200).map((one) => (Math.imul(Number(one.cluster.slice(1)), 2654435761) >>> 31 === 0 ? one : { ...one, chosen: one.rejected, rejected: one.chosen }));
    const { accuracy } = pairNumbers(styleWins(coin, { folds: 5, seed: 1 }));
    assert.ok((accuracy.lower ?? 1) < 0.6 && (accuracy.upper ?? 0) > 0.4, JSON.stringify(accuracy));
  });

  it('has no opinion when there is nothing to be fitted on', () => {
    assert.deepEqual(styleWins(ordered.slice(0, 1), { folds: 5, seed: 1 }).map(({ margin }) => margin), [0]);
    assert.deepEqual(styleWins([], { folds: 5, seed: 1 }), []);
  });
});
