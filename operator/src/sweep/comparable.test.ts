import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { comparable } from './comparable.ts';
import type { Budgeted } from './comparable.ts';

const point = (parameters: number, budget: number): Budgeted => ({ one: { parameters, tokens: budget, loss: 1 }, budget });
const grid = (sizes: readonly number[], budgets: readonly number[]): Budgeted[] => sizes.flatMap((size) => budgets.map((budget) => point(size, budget)));
const budgetsOf = (points: readonly Budgeted[]): number[] => [...new Set(points.map(({ budget }) => budget))];

describe('a law over parameters compares', () => {
  test('sizes at the largest budget of a whole grid', () => {
    assert.deepEqual(comparable(grid([1, 2, 3, 4], [10, 20, 40]), 'parameters'), grid([1, 2, 3, 4], [40]));
  });
  test('sizes at one budget while only the small ones have ended with the larger ones', () => {
    const soFar = [...grid([1, 2, 3, 4, 5, 6], [10]), ...grid([1, 2], [20, 40])];
    assert.deepEqual(budgetsOf(comparable(soFar, 'parameters')), [10]);
  });
  test('the largest budget although one size failed there', () => {
    const soFar = grid([1, 2, 3, 4, 5, 6], [10, 20]).filter(({ one, budget }) => !(one.parameters === 4 && budget === 20));
    assert.deepEqual(budgetsOf(comparable(soFar, 'parameters')), [20]);
  });
  test('whatever there is when no budget has three sizes', () => {
    const few = [point(1, 10), point(2, 20), point(3, 40)];
    assert.deepEqual(comparable(few, 'parameters'), few);
    assert.deepEqual(comparable([], 'parameters'), []);
  });
});

test('a law over tokens compares the budgets of the largest size', () => {
  assert.deepEqual(comparable(grid([1, 2], [10, 20, 40]), 'tokens'), grid([2], [10, 20, 40]));
});
