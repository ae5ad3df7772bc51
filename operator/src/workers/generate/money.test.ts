import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { policy as schema } from './config.ts';
import { Budget, costOf, moneyOf, mostFor, partOf, showMoney } from './money.ts';

const policy = schema.parse({ name: 'a', url: 'http://x/v1', model: 'm', promptPricePerMillion: '0.15', outputPricePerMillion: '0.6' });

test('money is exact', () => {
  assert.equal(showMoney(costOf(policy, 1_000_000, 500_000).money), '0.45');
  assert.equal(showMoney(costOf(policy, 1, 1).money), '0.00000075');
  assert.equal(showMoney(moneyOf('12.5')), '12.50');
  assert.equal(showMoney(moneyOf('3')), '3.00');
});

test('no order of reservations and answers passes the budget', () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 4000 }), fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean())), fc.integer({ min: 1, max: 50_000 }), (requests, tokens) => {
    const limit = { tokens, money: moneyOf('0.01') };
    const budget = new Budget(limit, { tokens: 0, money: 0n });
    const open: [ReturnType<typeof mostFor>, number][] = [];
    for (const [bytes, share, settle] of requests) {
      const most = mostFor(policy, bytes, 1000);
      if (budget.reserve(most)) open.push([most, share]);
      const next = settle ? open.shift() : undefined;
      if (next !== undefined) budget.settle(next[0], costOf(policy, Math.floor(next[0].tokensIn * next[1]), Math.floor(1000 * next[1])));
      assert.ok(budget.spent.tokens <= limit.tokens && budget.spent.money <= limit.money);
    }
  }));
});

test('the parts of all workers are no more than the budget', () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 1_000_000 }), (prefixes, tokens) => {
    const all = prefixes.reduce((sum, one) => sum + one, 0);
    assert.ok(prefixes.reduce((sum, one) => sum + (partOf({ tokens }, one, all).tokens ?? 0), 0) <= tokens);
  }));
});
