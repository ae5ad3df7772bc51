import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openScorer, type Scorer } from '../serve/score.ts';
import type { Group } from './comparison.ts';
import { identitySuite } from './identity.ts';
import { drawPairs } from './pool.ts';
import { scoreBy } from './scorerScore.ts';
import { pool } from './testing/world.ts';

const group = (prompt: string, reference: string, candidates: readonly string[]): Group => ({ prompt, reference: { prompt, response: reference }, candidates, wrapper: 'sft' });
const groups = [group('Say hi.', 'Hello there!', ['Hi.', 'Hello there!', 'No.']), group('Count.', 'One two three', ['One two', 'three'])];
const same = (got: readonly (readonly number[])[], wanted: readonly (readonly number[])[]): void => {
  assert.deepEqual(got.map(({ length }) => length), wanted.map(({ length }) => length));
  got.flat().forEach((score, at) => { assert.ok(Math.abs(score - (wanted.flat()[at] ?? NaN)) < 1e-5, `${String(score)} is not ${String(wanted.flat()[at])}`); });
};

void describe('the scoring module as a suite calls it', () => {
  let scorer: Scorer;
  before(async () => { scorer = await openScorer({ folder: join(import.meta.dirname, '../../../../testdata/onnx'), workers: 1 }); });
  after(() => scorer.close());

  it('gives the scores of the scoring module, however few groups at once', async () => {
    const wanted = await scorer.score(groups.map(({ prompt, reference, candidates, wrapper }) => ({ prompt, references: [reference?.response ?? ''], candidates, wrapper })));
    const counted: number[] = [];
    const score = scoreBy(scorer, { groupsAtOnce: 1, onScored: (some) => counted.push(some) });
    same(await score(groups), wanted.map((one) => one.map((candidate) => candidate.score)));
    assert.deepEqual(counted, [1, 1]);
    same(await scoreBy(scorer, { groupsAtOnce: 100 })(groups), await score(groups));
  });

  it('puts the reference behind its own prompt and leaves it out where there is none', async () => {
    const score = scoreBy(scorer, { groupsAtOnce: 10 });
    const [own, other, none] = await score([
      groups[0] ?? group('', '', []), { ...group('Say hi.', '', ['Hi.']), reference: { prompt: 'Count.', response: 'Hello there!' } }, { ...group('Say hi.', '', ['Hi.']), reference: null },
    ]);
    assert.equal(new Set([own?.[0], other?.[0], none?.[0]]).size, 3);
    assert.ok(Number.isFinite(none?.[0]));
  });

  it('fails an untrained model on identity', async () => {
    const pairs = drawPairs(pool(['ann', 'bob', 'cy'], 12, 1), { pairing: 'crossPrompt', perPolicyPair: 10, seed: 1, unseen: new Set() });
    const { verdict, numbers } = await identitySuite(scoreBy(scorer, { groupsAtOnce: 16 }), pairs, { accuracy: 0.75 });
    assert.equal(numbers['all.accuracy']?.n, 60);
    assert.equal(verdict.state, 'Fail', JSON.stringify(numbers));
  });

  it('stops when it is told to', async () => {
    await assert.rejects(scoreBy(scorer, { groupsAtOnce: 1, signal: AbortSignal.abort() })(groups), { name: 'AbortError' });
  });
});
