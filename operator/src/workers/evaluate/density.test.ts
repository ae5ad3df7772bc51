import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { densitySuite, type DensityItem } from './density.ts';
import type { Score } from './comparison.ts';
import { drawer } from './statistics.ts';
import { constant, copier, longest } from './testing/world.ts';

/** Policies that write twelve letters, an "a" with a chance of their own each; the chance is in the reference's prompt. */
const CHANCES = [0.15, 0.4, 0.6, 0.85];
const LETTERS = 12;
const name = (policy: number): string => `p${String(policy)}`;

function letters(chance: number, draw: (bound: number) => number): string {
  return Array.from({ length: LETTERS }, () => (draw(1000) < chance * 1000 ? 'a' : 'bb')).join('');
}
const likelihood = (text: string, chance: number): number => {
  const some = text.match(/a/g)?.length ?? 0;
  return some * Math.log(chance) + (LETTERS - some) * Math.log(1 - chance);
};

const draw = drawer(5);
const items: DensityItem[] = CHANCES.flatMap((reference, a) => CHANCES.flatMap((own, b) => Array.from({ length: 15 }, (_, at): DensityItem => {
  const candidate = letters(own, draw);
  return {
    cluster: `q${String(at)}`, prompt: `Write ${String(b)}.`, reference: { prompt: 'Write.', response: letters(reference, draw) + name(a) }, candidate, wrapper: 'pretrain',
    policies: { reference: name(a), drawnFrom: name(b) }, logLikelihood: { reference: likelihood(candidate, reference), drawnFrom: likelihood(candidate, own) },
  };
})));
/** The exact log ratio, scaled and bent by a monotone function, which ranks do not see. */
const exact: Score = (groups) => Promise.resolve(groups.map(({ reference, prompt, candidates }) => candidates.map((candidate) => {
  const [a, b] = [Number(reference?.response.at(-1)), Number(prompt.at(-2))];
  return Math.tanh((likelihood(candidate, CHANCES[a] ?? NaN) - likelihood(candidate, CHANCES[b] ?? NaN)) / 20);
})));
const options = { ratio: 0.8, divergence: 0.8, bootstrap: { seed: 1, resamples: 200 } };

void describe('density ratio', () => {
  it('passes a scorer that is a monotone function of the log ratio', async () => {
    const { verdict, numbers, tables } = await densitySuite(exact, items, options);
    assert.equal(verdict.state, 'Pass', JSON.stringify(verdict));
    assert.equal(numbers['ratioCorrelation']?.n, 12 * 15);
    assert.equal(tables.byPolicyPair.length, 16);
    assert.ok(tables.byPolicyPair.every(({ policies, divergence }) => (policies.reference === policies.drawnFrom ? divergence === 0 : divergence > 0)));
  });

  it('fails a scorer that has it the wrong way round', async () => {
    const reversed: Score = async (groups) => (await exact(groups)).map((scores) => scores.map((one) => -one));
    assert.equal((await densitySuite(reversed, items, options)).verdict.state, 'Fail');
  });

  for (const [scorer, score] of Object.entries({ longest, copier, constant })) {
    it(`fails the ${scorer} scorer`, async () => {
      const { verdict } = await densitySuite(score, items, options);
      assert.equal(verdict.state, 'Fail', JSON.stringify(verdict));
    });
  }
});
