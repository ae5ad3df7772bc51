import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ReportRequestSchema } from '../gen/telemetry_pb.js';
import { mergeReport } from './merge.ts';
import type { MergeContext, ReportedStatus } from './merge.ts';
import { mergeTermination, parseTermination } from './termination.ts';
import type { Termination } from './termination.ts';

const context: MergeContext = { now: '2026-01-01T00:00:00.000Z', checkpointDirectoryUri: 'pvc://runs/d' };
const sha = 'cd'.repeat(32);
const text = JSON.stringify({
  reason: 'Complete', message: 'done', exitCode: 0, attempt: 1, step: 500, totalSteps: 500, tokens: 9000, trainLoss: '0.41', valLoss: '0.43', valAccuracy: '0.86',
  latest: { step: 500, path: '/mnt/polar/checkpoints/x/step-00000500', manifestSha256: sha, valLoss: '0.43' },
  best: { step: 400, path: '/mnt/polar/checkpoints/x/step-00000400', manifestSha256: sha, valLoss: '0.42' },
  tail: [{ step: 490, tokens: 8800, trainLoss: '0.44' }, { step: 500, tokens: 9000, trainLoss: '0.41', valLoss: '0.43' }],
});
const termination = parseTermination(text) as Termination;

test('a run whose stream never came through still shows how it ended', () => {
  const status = mergeTermination({}, termination, context);
  assert.equal(status.progress?.stage, 'Done');
  assert.equal(status.progress?.step, 500);
  assert.equal(status.progress?.valLoss, '0.43');
  assert.equal(status.checkpoints?.latest?.uri, 'pvc://runs/d/step-00000500');
  assert.equal(status.checkpoints?.best?.step, 400);
  assert.deepEqual(status.curve?.map((point) => point.step), [490, 500]);
});

test('looking at the same termination twice changes nothing', () => {
  const once = mergeTermination({}, termination, context);
  assert.equal(mergeTermination(once, termination, { ...context, now: '2027-01-01T00:00:00.000Z' }), once);
});

test('what the stream told more exactly stays', () => {
  const streamed: ReportedStatus = {
    progress: { attempt: 1, seq: 40, stage: 'Training', step: 495, totalSteps: 500 },
    curve: [{ step: 490, tokens: 8800, trainLoss: '0.441234' }],
  };
  const status = mergeTermination(streamed, termination, context);
  assert.equal(status.progress?.seq, 40);
  assert.equal(status.progress?.step, 500);
  assert.equal(status.curve?.[0]?.trainLoss, '0.441234');
});

test('the last words of an earlier attempt come too late', () => {
  const status: ReportedStatus = { progress: { attempt: 2, seq: 1 } };
  assert.equal(mergeTermination(status, termination, context), status);
});

test('a text that is not a termination message says nothing', () => {
  for (const junk of ['', 'Killed', '{}', '[]', 'null', '{"reason":"x"}', '{"reason":"x","attempt":"1"}', `{"reason":"${'x'.repeat(5000)}`]) assert.equal(parseTermination(junk), undefined);
});

test('values that are no numbers are left out one by one', () => {
  const parsed = parseTermination(JSON.stringify({ reason: 'Crashed', attempt: 1, step: 7, trainLoss: 'NaN', valLoss: {}, latest: 'x', tail: [3, { step: 6, trainLoss: '0.5' }, { step: 'six' }] }));
  const status = mergeTermination({}, parsed as Termination, context);
  assert.deepEqual(status.curve, [{ step: 6, trainLoss: '0.5' }]);
  assert.equal(status.progress?.step, 7);
  assert.equal(status.progress?.trainLoss, undefined);
});

test('last words that begin an attempt count its predecessor\'s lost steps, whether they or a later report say where it resumed', () => {
  const before: ReportedStatus = { progress: { attempt: 1, seq: 9, stage: 'Training', step: 100, lostSteps: 3, resumedFromStep: 0 }, curve: [{ step: 70, trainLoss: '0.5' }, { step: 100, trainLoss: '0.4' }] };
  const words = { reason: 'Crashed', exitCode: 1, attempt: 2, step: 85 };
  const parse = (fields: object): Termination => parseTermination(JSON.stringify(fields)) as Termination;
  const late = (status: ReportedStatus): ReportedStatus => mergeReport(status, create(ReportRequestSchema, { attempt: 2, seq: 1n, resumedFromStep: 80n, progress: { stage: 'Training', step: 85n } }), context).status;
  const told = mergeTermination(before, parse({ ...words, resumedFromStep: 80 }), context);
  assert.deepEqual([told.progress?.lostSteps, told.progress?.step, told.progress?.attempt, told.progress?.source], [23, 85, 2, 'LastWords']);
  assert.deepEqual(told.curve?.map((point) => point.step), [70]);
  assert.equal(late(told).progress?.lostSteps, 23);
  const silent = mergeTermination(before, parse(words), context);
  assert.equal(silent.progress?.lostSteps, 3);
  assert.equal(late(silent).progress?.lostSteps, 23);
  assert.equal(mergeTermination(late(silent), parse(words), context).progress?.lostSteps, 23);
});
