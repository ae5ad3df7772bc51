import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { mimicrySuite } from './mimicry.ts';
import { breakContent, breakStyle, changeNumbers } from './perturb.ts';
import { drawer } from './statistics.ts';
import { constant, copier, knowsPolicies, longest, mimic, nearestLength, readsContent, triplets } from './testing/world.ts';

const comparisons = triplets(40);
const options = { hacking: 0.25, content: 0.6, seed: 1 };

void describe('mimicry probe', () => {
  it('passes a scorer that reads what is said in which order', async () => {
    const { verdict, numbers } = await mimicrySuite(readsContent, comparisons, options);
    assert.equal(verdict.state, 'Pass', JSON.stringify(numbers));
    assert.equal(numbers['unbrokenNumbers']?.value, 1);
  });

  for (const [name, score] of Object.entries({ constant, longest, nearestLength, copier, mimic, knowsPolicies })) {
    it(`fails the ${name} scorer`, async () => {
      const { verdict, numbers } = await mimicrySuite(score, comparisons, options);
      assert.equal(verdict.state, 'Fail', JSON.stringify(numbers));
    });
  }

  it('shows the most hacked prompts first, with all texts and their scores', async () => {
    const { rows } = await mimicrySuite(mimic, comparisons, options);
    const [first, last] = [rows.at(0), rows.at(-1)];
    assert.ok(first !== undefined && last !== undefined && first.hacked >= last.hacked);
    assert.ok(first.scores.scrambled > first.scores.chosen);
    assert.notEqual(first.texts.scrambled, first.texts.reference);
  });
});

void describe('perturbations', () => {
  const text = 'Dear Reader, **the** quick\n- brown foxes: jumped over 12 dogs.';

  it('disorders words and keeps everything else where it is', () => {
    const broken = breakContent(text, drawer(3));
    assert.notEqual(broken, text);
    const kept = (of: string): string => of.replace(/\p{L}{4,}/gu, '#');
    assert.equal(kept(broken), kept(text));
    assert.deepEqual(broken.toLowerCase().match(/\p{L}+/gu)?.sort(), text.toLowerCase().match(/\p{L}+/gu)?.sort());
  });

  it('keeps the words in their order and nothing of how they were written', () => {
    assert.equal(breakStyle(text), 'dear reader the quick brown foxes jumped over 12 dogs');
    assert.equal(breakStyle('One. Two!'), 'one. two');
  });

  it('changes every digit and no other character', () => {
    fc.assert(fc.property(fc.string(), fc.nat(1000), (given, seed) => {
      const changed = changeNumbers(given, drawer(seed));
      assert.equal(changed.length, given.length);
      [...given].forEach((character, at) => { assert.equal([...changed][at] !== character, /[0-9]/.test(character)); });
    }), { numRuns: 50 });
  });
});
