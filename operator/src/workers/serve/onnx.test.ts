import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { InferenceSession, Tensor } from 'onnxruntime-node';

interface Case { prefix_ids: number[]; candidate_ids: number[][]; candidate_lengths: number[]; scores: number[] }

const FOLDER = join(import.meta.dirname, '../../../../testdata/onnx');
let session: InferenceSession;

before(async () => { session = await InferenceSession.create(join(FOLDER, 'model.onnx'), { intraOpNumThreads: 1 }); });
after(async () => { await session.release(); });

const whole = (values: readonly number[], dims: readonly number[]): Tensor => new Tensor('int64', BigInt64Array.from(values.map(BigInt)), dims);

test('an exported graph gives the scores of the model that was exported', async () => {
  const cases = JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as Case[];
  assert.ok(cases.length > 0);
  for (const one of cases) {
    const groups = one.candidate_ids.length;
    const { scores } = await session.run({
      prefix_ids: whole(one.prefix_ids, [one.prefix_ids.length]),
      candidate_ids: whole(one.candidate_ids.flat(), [groups, one.candidate_ids[0]?.length ?? 0]),
      candidate_lengths: whole(one.candidate_lengths, [groups]),
    });
    const got = Array.from(scores?.data as Float32Array);
    assert.equal(got.length, groups);
    got.forEach((score, row) => { assert.ok(Math.abs(score - (one.scores[row] ?? NaN)) < 1e-4, `${String(score)} is not ${String(one.scores[row])}`); });
  }
});
