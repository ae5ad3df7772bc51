import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ScoreError } from './comparison.ts';
import { identitySuite } from './identity.ts';
import { drawPairs } from './pool.ts';
import { constant, copier, knowsPolicies, longest, nearestLength, pool } from './testing/world.ts';

const POLICIES = ['ann', 'bob', 'cy', 'dan'];
const rows = pool(POLICIES, 20, 2);
const draw = { perPolicyPair: 15, seed: 1, unseen: new Set(['dan']) };
const pairs = [...drawPairs(rows, { ...draw, pairing: 'samePrompt' }), ...drawPairs(rows, { ...draw, pairing: 'crossPrompt' })];
const threshold = { accuracy: 0.55 };

void describe('identity discrimination', () => {
  it('passes a scorer that knows the policies, with n of each part', async () => {
    const { verdict, numbers, tables } = await identitySuite(knowsPolicies, pairs, threshold);
    assert.equal(verdict.state, 'Pass');
    assert.equal(numbers['all.accuracy']?.n, 2 * 2 * 6 * 15);
    assert.equal(numbers['unseenPolicies.accuracy']?.n, 2 * 2 * 3 * 15);
    assert.equal(numbers['samePrompt.accuracy']?.value, 1);
    assert.equal(tables.byPolicyPair.length, 6);
  });

  for (const [name, score] of Object.entries({ constant, longest, copier })) {
    it(`fails the ${name} scorer at one half exactly`, async () => {
      const { verdict, numbers } = await identitySuite(score, pairs, threshold);
      assert.equal(verdict.state, 'Fail');
      assert.equal(numbers['all.accuracy']?.value, 0.5);
    });
  }

  it('fails a scorer that compares lengths, even where policies differ in length', async () => {
    const lengthy = rows.map((row) => ({ ...row, output: row.output + ' so'.repeat(60 * 3 ** POLICIES.indexOf(row.policy)) }));
    const { verdict, numbers } = await identitySuite(nearestLength, drawPairs(lengthy, { ...draw, pairing: 'crossPrompt' }), threshold);
    assert.ok((numbers['all.accuracy']?.lower ?? 0) > 0.9);
    assert.equal(verdict.state, 'Fail');
  });

  it('shows the worst rows first, as one reads them', async () => {
    const { rows: shown } = await identitySuite(longest, pairs, threshold);
    assert.ok((shown[0]?.margin ?? 0) < 0 && (shown[0]?.margin ?? 0) <= (shown.at(-1)?.margin ?? 0));
    assert.ok(shown[0]?.reference.includes('says:'));
  });

  it('refuses scores that are none', async () => {
    await assert.rejects(identitySuite((groups) => Promise.resolve(groups.map(() => [NaN, 1])), pairs, threshold), ScoreError);
    await assert.rejects(identitySuite(() => Promise.resolve([[1]]), pairs, threshold), /expected 2 finite scores, got \[1\]/);
  });

  it('draws no pair where no prompt was answered twice by one policy, and the same pairs again for the same seed', () => {
    assert.deepEqual(drawPairs(pool(POLICIES, 5, 1), { ...draw, pairing: 'samePrompt' }), []);
    assert.deepEqual(drawPairs(rows, { ...draw, pairing: 'crossPrompt' }), drawPairs(rows.toReversed().toReversed(), { ...draw, pairing: 'crossPrompt' }));
    assert.notDeepEqual(drawPairs(rows, { ...draw, pairing: 'crossPrompt' }), drawPairs(rows, { ...draw, seed: 2, pairing: 'crossPrompt' }));
  });

  it('takes references of the policy, on the prompt or on another', () => {
    for (const { pairing, prompt, reference, policies, chosen } of pairs) {
      assert.equal(reference.prompt === prompt, pairing === 'samePrompt');
      assert.ok(reference.response.startsWith(policies.chosen) && chosen.startsWith(policies.chosen) && reference.response !== chosen);
    }
  });
});
