import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parametersOf, parametersWithoutEmbedding, PAPER_VOCABULARY, SIZES } from './sizes.ts';

const COUNTS = { K: 1e3, M: 1e6, B: 1e9 };

describe('the preset sizes', () => {
  test('have the dimensions of InternLM2.5-1.8B and InternLM2.5-7B', () => {
    assert.deepEqual(SIZES['1.8B'], { hiddenSize: 2048, numLayers: 24, numHeads: 16, numKeyValueHeads: 8, intermediateSize: 8192, ropeTheta: 1_000_000 });
    assert.deepEqual(SIZES['7B'], { hiddenSize: 4096, numLayers: 32, numHeads: 32, numKeyValueHeads: 8, intermediateSize: 14336, ropeTheta: 50_000_000 });
  });
  test('count 1.89 and 7.74 billion parameters with the language-model head that a reward model does not have', () => {
    const withHead = (name: '1.8B' | '7B'): number => parametersOf(SIZES[name], PAPER_VOCABULARY) + (PAPER_VOCABULARY - 1) * SIZES[name].hiddenSize;
    assert.equal(withHead('1.8B'), 1_889_110_016);
    assert.equal(withHead('7B'), 7_737_708_544);
  });
  for (const [name, size] of Object.entries(SIZES)) {
    const wanted = Number(name.slice(0, -1)) * COUNTS[name.slice(-1) as keyof typeof COUNTS];
    if (name === '1.8B') continue;
    test(`${name} has about as many parameters outside the embedding as its name says`, () => {
      assert.ok(Math.abs(parametersWithoutEmbedding(size) / wanted - 1) < 0.12, String(parametersWithoutEmbedding(size)));
    });
    test(`${name} has heads that divide its width`, () => {
      assert.equal(size.hiddenSize % (2 * size.numHeads), 0);
      assert.equal(size.numHeads % size.numKeyValueHeads, 0);
    });
  }
});
