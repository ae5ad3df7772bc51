import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pretrainSpec } from '../api/pretrain.ts';
import type { CheckpointRecord, RunStatus } from '../api/status.ts';
import { askedOf, sourceFrom } from './source.ts';
import type { Asked } from './source.ts';

const record = (step: number): CheckpointRecord => ({ step, uri: `pvc://runs/trunk/step-${step}` });
const status: RunStatus = {
  conditions: [{ type: 'Complete', status: 'True', reason: 'AllStepsDone', message: '', lastTransitionTime: '2026-01-01T00:00:00Z' }],
  checkpoints: { latest: record(300), best: record(200), history: [record(300), record(200), record(100)] },
};
const asked = (which: Asked['which']): Asked => ({ name: 'trunk', field: 'spec.resumeFrom.pretrainRef.name', which });

describe('the run that another one starts from', () => {
  for (const [which, step] of [['best', 200], ['latest', 300], [100, 100], [150, undefined]] as const) {
    test(`has for ${which} the checkpoint at step ${String(step)}`, () => {
      const source = sourceFrom(asked(which), undefined, { status, saidStep: 300 });
      assert.deepEqual([source.complete, source.checkpoint?.step, source.kept], [true, step, [300, 200, 100]]);
    });
  }
  test('has none while its last words are not in its status', () => {
    const source = sourceFrom(asked(100), undefined, { status, saidStep: 400 });
    assert.deepEqual([source.checkpoint, source.kept], [undefined, undefined]);
  });
  test('is what it was once the run has started, even if it is gone', () => {
    const source = sourceFrom(asked(100), record(100), undefined);
    assert.deepEqual([source.exists, source.complete, source.checkpoint?.step], [true, true, 100]);
  });
  test('does not exist when it is not stored', () => {
    assert.equal(sourceFrom(asked('latest'), undefined, undefined).exists, false);
  });
  test('is the newest checkpoint of a named run unless a step is given', () => {
    const spec = (resumeFrom: object): Asked | undefined => askedOf({
      kind: 'PolarPretrain', spec: pretrainSpec.parse({ model: {}, resumeFrom, budget: { steps: 5 }, data: { uri: 'pvc://d/x' }, checkpoint: { store: { pvc: 'runs' } } }),
    });
    assert.deepEqual([spec({ pretrainRef: { name: 'a' } })?.which, spec({ pretrainRef: { name: 'a' }, step: 7 })?.which, spec({ uri: 'pvc://r/step-1' })], ['latest', 7, undefined]);
  });
});
