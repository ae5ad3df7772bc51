import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Score } from './comparison.ts';
import { diversitySuite } from './diversity.ts';
import { drawPairs } from './pool.ts';
import { constant, copier, knowsPolicies, longest, nearestLength, pool } from './testing/world.ts';

const POLICIES = ['ann', 'bob', 'cy', 'dan', 'eve'];
const rows = pool(POLICIES, 60, 1);
const draw = { pairing: 'crossPrompt' as const, perPolicyPair: 40, seed: 1, unseen: new Set<string>() };
const pairs = drawPairs(rows, draw);
const options = { effectiveShare: 0.8, duplicate: 0.7, leastPrompts: 10, bootstrap: { seed: 1, resamples: 200 } };
const close = (value: number | null | undefined, expected: number): void => { assert.ok(Math.abs((value ?? NaN) - expected) < 1e-6, `expected ${String(expected)}, got ${String(value)}`); };

/** Takes eve for dan: one writes as the other. */
const confused: Score = (groups) => knowsPolicies(groups.map(({ candidates, reference, ...rest }) => ({
  ...rest, candidates: candidates.map((text) => text.replaceAll('eve', 'dan')), reference: reference && { ...reference, response: reference.response.replaceAll('eve', 'dan') },
})));

void describe('diversity audit', () => {
  it('counts all policies that are told apart', async () => {
    const { verdict, numbers, tables } = await diversitySuite(knowsPolicies, pairs, options);
    assert.equal(verdict.state, 'Pass');
    close(numbers['effectivePolicies']?.value, 5);
    assert.deepEqual(tables.clusters.map((one) => one.length), [1, 1, 1, 1, 1]);
    assert.equal(tables.unmeasured, 0);
    assert.deepEqual(tables.nearDuplicates, []);
  });

  it('names near-duplicates and counts them once', async () => {
    const { numbers, tables } = await diversitySuite(confused, pairs, options);
    assert.deepEqual(tables.nearDuplicates.map(({ policies }) => policies), [['dan', 'eve']]);
    assert.deepEqual(tables.clusters.filter((one) => one.length > 1).map((one) => one.toSorted()), [['dan', 'eve']]);
    // Eigenvalues 2/5 and three times 1/5.
    close(numbers['effectivePolicies']?.value, Math.exp(-(0.4 * Math.log(0.4) + 0.6 * Math.log(0.2))));
    const [dan, eve] = ['dan', 'eve'].map((name) => tables.policies.indexOf(name));
    assert.equal(Math.abs((dan ?? 0) - (eve ?? 0)), 1);
    assert.equal(tables.accuracy[dan ?? 0]?.[eve ?? 0], 0.5);
  });

  for (const [name, score] of Object.entries({ constant, longest, copier })) {
    it(`finds one policy, and fails, with the ${name} scorer`, async () => {
      const { verdict, numbers } = await diversitySuite(score, pairs, options);
      assert.equal(verdict.state, 'Fail');
      close(numbers['effectivePolicies']?.value, 1);
    });
  }

  it('fails with a scorer of lengths, which no policy has of its own', async () => {
    assert.equal((await diversitySuite(nearestLength, pairs, options)).verdict.state, 'Fail');
  });

  it('fails a pool of one policy under four names', async () => {
    const copies = drawPairs(rows.map((row) => ({ ...row, output: row.output.replaceAll(row.policy, 'ann') })), draw);
    const { verdict, tables } = await diversitySuite(knowsPolicies, copies, options);
    assert.equal(verdict.state, 'Fail');
    assert.deepEqual(tables.clusters.map((one) => one.length), [5]);
    assert.equal(tables.nearDuplicates.length, 10);
  });

  it('gives the number that many comparisons would give from few of them, within its interval', async () => {
    let state = 1;
    const often: Score = async (groups) => (await knowsPolicies(groups)).map((scores) => ((state = (state * 48271) % 2147483647) % 10 === 0 ? scores.toReversed() : scores));
    const { numbers } = await diversitySuite(often, drawPairs(rows, { ...draw, perPolicyPair: 6 }), options);
    const { value, lower, upper } = numbers['effectivePolicies'] ?? {};
    // Right nine times of ten: similarities of 0.2, eigenvalues 1.8/5 and four times 0.8/5.
    const wanted = Math.exp(-(0.36 * Math.log(0.36) + 0.64 * Math.log(0.16)));
    assert.ok(Math.abs((value ?? 0) - wanted) < 0.3, JSON.stringify(numbers));
    assert.ok((lower ?? 9) <= (value ?? 0) && (value ?? 9) <= (upper ?? 0), JSON.stringify(numbers));
  });

  it('names no duplicates on fewer prompts than it is told to ask for', async () => {
    const few = drawPairs(rows, { ...draw, perPolicyPair: 6 });
    assert.deepEqual((await diversitySuite(constant, few, options)).tables.nearDuplicates, []);
    assert.equal((await diversitySuite(constant, few, { ...options, leastPrompts: 6 })).tables.nearDuplicates.length, 10);
  });

  it('says how many pairs of policies were not measured', async () => {
    const { tables } = await diversitySuite(knowsPolicies, pairs.filter(({ policies }) => ![policies.chosen, policies.rejected].every((name) => ['ann', 'bob'].includes(name))), options);
    assert.equal(tables.unmeasured, 1);
    assert.equal(tables.accuracy[tables.policies.indexOf('ann')]?.[tables.policies.indexOf('bob')], null);
  });
});
