import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ablationSuite } from './ablation.ts';
import { constant, copier, longest, readsContent, triplets } from './testing/world.ts';

const comparisons = triplets(40);
const options = { accuracy: 0.6, gain: 0.05, self: 0.9 };

void describe('reference ablation', () => {
  it('passes a scorer that needs its reference, the right one', async () => {
    const { verdict, numbers, rows } = await ablationSuite(readsContent, comparisons, options);
    assert.equal(verdict.state, 'Pass', JSON.stringify(verdict));
    assert.equal(numbers['withReference']?.value, 1);
    assert.equal(numbers['without']?.value, 0.5);
    assert.equal(numbers['self']?.n, 40);
    assert.equal(rows[0]?.without, 0);
  });

  for (const [name, score] of Object.entries({ constant, longest, copier })) {
    it(`fails the ${name} scorer`, async () => {
      assert.equal((await ablationSuite(score, comparisons, options)).verdict.state, 'Fail');
    });
  }

  it('fails a scorer that knows the answer without its reference, for the gain that is missing', async () => {
    const knows = (groups: Parameters<typeof readsContent>[0]): Promise<number[][]> => Promise.resolve(groups.map(({ candidates }) => candidates.map((text) => -(text.match(/error/g)?.length ?? 0))));
    const { verdict, numbers } = await ablationSuite(knows, comparisons, options);
    assert.equal(numbers['withReference']?.value, 1);
    assert.deepEqual(verdict.conditions.filter(({ state }) => state === 'Fail').map(({ name }) => name), ['gain over no reference', 'gain over a wrong prompt\'s reference', 'the candidate itself scores higher']);
  });

  it('gives no verdict where no other prompt lends a reference', async () => {
    const { verdict, numbers } = await ablationSuite(readsContent, comparisons.slice(0, 1), options);
    assert.equal(verdict.state, 'Unclear');
    assert.equal(numbers['withReference']?.n, 0);
  });
});
