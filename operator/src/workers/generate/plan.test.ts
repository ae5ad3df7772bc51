import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { asksOf, blocksOf, ownBlocks, type PlanInput } from './plan.ts';

const aPlan = fc.record({ seed: fc.nat(), prompts: fc.integer({ min: 1, max: 400 }), percent: fc.integer({ min: 0, max: 50 }), shardPrefixes: fc.integer({ min: 1, max: 50 }), seen: fc.integer({ min: 2, max: 9 }), held: fc.integer({ min: 0, max: 3 }) })
  .map(({ seed, prompts, percent, shardPrefixes, seen, held }): PlanInput => {
    const pool = { seen: Array.from({ length: seen }, (_, i) => i), heldOut: Array.from({ length: held }, (_, i) => seen + i) };
    return { seed, prompts, heldOutPrompts: Math.floor((prompts * percent) / 100), shardPrefixes, pools: { text: pool, instructions: pool } };
  });

test('workers make every prefix once, whatever their number', () => {
  fc.assert(fc.property(aPlan, fc.integer({ min: 1, max: 20 }), (plan, count) => {
    const blocks = Array.from({ length: count }, (_, index) => ownBlocks(blocksOf(plan), index, count)).flat();
    const prefixes = blocks.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));
    assert.deepEqual(prefixes, Array.from({ length: plan.prompts }, (_, i) => i));
    for (const { split, from, to } of blocks) assert.ok(split === 'held-out' ? to <= plan.heldOutPrompts : from >= plan.heldOutPrompts);
  }));
});

test('a prefix is answered twice by one policy and once by another, the same in every run', () => {
  fc.assert(fc.property(aPlan, fc.nat({ max: 399 }), (plan, prefix) => {
    const asks = asksOf(plan, prefix, 'text');
    assert.deepEqual(asks, asksOf(plan, prefix, 'text'));
    assert.deepEqual(asks.map(({ sample }) => sample), [0, 1, 0]);
    assert.equal(asks[0]?.policy, asks[1]?.policy);
    assert.notEqual(asks[0]?.policy, asks[2]?.policy);
    assert.equal(new Set(asks.map(({ seed }) => seed)).size, 3);
  }));
});

test('held-out policies never answer a prompt that is trained on, and do answer held-out ones', () => {
  fc.assert(fc.property(aPlan, (plan) => {
    const held = new Set(plan.pools.text.heldOut);
    const answered = Array.from({ length: plan.prompts }, (_, i) => asksOf(plan, i, 'text').some(({ policy }) => held.has(policy)));
    assert.ok(answered.slice(plan.heldOutPrompts).every((one) => !one));
    if (held.size > 0 && plan.heldOutPrompts > 0) assert.ok(answered[0]);
  }));
});

test('policies are drawn evenly', () => {
  const pool = { seen: [0, 1, 2, 3], heldOut: [] };
  const plan = { seed: 3, prompts: 12_000, heldOutPrompts: 0, shardPrefixes: 100, pools: { text: pool, instructions: pool } };
  const counts = new Map<string, number>();
  for (let i = 0; i < plan.prompts; i += 1) {
    const [a, , b] = asksOf(plan, i, 'text');
    const key = `${String(a?.policy)}-${String(b?.policy)}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assert.equal(counts.size, 12);
  for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 150, `${String(count)} of about 1000`);
});
