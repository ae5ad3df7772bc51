import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCount, formatNumber, formatQuantity, parseAmount, parseNumber } from './quantities.ts';

test('reads amounts as people write them', () => {
  const amounts = ['7B', '3.6T', '350k', '1.5 M', '7e9', '1E21', '+2.5e-3', '1,000,000', '1_000_000', '.5K', '2G'];
  assert.deepEqual(amounts.map(parseAmount), [7e9, 3.6e12, 3.5e5, 1.5e6, 7e9, 1e21, 2.5e-3, 1e6, 1e6, 500, 2e9]);
});

test('takes nothing for a number that is none, or is no positive one', () => {
  for (const text of ['', ' ', 'B', 'nan', 'inf', '-1', '0', '0B', '1e999', '0x10', '1 2', '1,00', '7BB', '1e', 'null', '--']) assert.ok(Number.isNaN(parseAmount(text)), text);
  assert.ok(Number.isNaN(parseNumber('7B')), 'a loss has no suffix');
});

test('writes counts with a suffix and FLOPs as powers of ten', () => {
  assert.deepEqual([6.7412e9, 3.6e12, 999_999, 1e6, 12, 1.2e15].map(formatCount), ['6.741B', '3.6T', '1M', '1M', '12', '1.200e15']);
  assert.equal(formatQuantity('flops', 6.02e23), '6.02e23');
  assert.equal(formatQuantity('loss', 0.35), '0.3500');
});

test('keeps the digits that were asked for', () => {
  assert.deepEqual([formatNumber(2.5, 4), formatNumber(0.00101827, 5), formatNumber(-0.0425, 6), formatNumber(2143.417, 6), formatNumber(1e-5, 3), formatNumber(0, 3), formatNumber(Infinity, 3)],
    ['2.500', '0.0010183', '-0.0425000', '2143.42', '1.00e-5', '0', 'inf']);
});
