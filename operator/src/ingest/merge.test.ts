import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { ReportRequestSchema } from '../gen/telemetry_pb.js';
import type { ReportRequest } from '../gen/telemetry_pb.js';
import { runStatus } from '../api/status.ts';
import { mergeReport } from './merge.ts';
import type { MergeContext, ReportedStatus } from './merge.ts';

const context: MergeContext = { now: '2026-01-01T00:00:00.000Z', checkpointDirectoryUri: 'pvc://runs/ns/polarpretrain/demo-01234567' };

function aReport(fields: MessageInitShape<typeof ReportRequestSchema> = {}): ReportRequest {
  return create(ReportRequestSchema, { runUid: 'u', attempt: 1, seq: 1n, ...fields });
}

function merged(reports: readonly ReportRequest[], from: ReportedStatus = {}): ReportedStatus {
  return reports.reduce((status, report) => mergeReport(status, report, context).status, from);
}

const step = (n: number, trainLoss = 0.5): { step: bigint; tokens: bigint; trainLoss: number } => ({ step: BigInt(n), tokens: BigInt(n * 100), trainLoss });
const sha = 'ab'.repeat(32);
const checkpoint = (n: number, valLoss = 0.5): object => ({
  step: BigInt(n), path: `ns/polarpretrain/demo-01234567/step-${String(n).padStart(8, '0')}`, manifestSha256: sha, valLoss, tokens: 1n, completedAt: '2026-01-01T00:00:00Z',
});

test('shows progress, validation and checkpoints as decimal strings and whole numbers', () => {
  const { status, accepted, refusedFields } = mergeReport({}, aReport({
    seq: 7n, points: [step(1), { ...step(2, 0.123456789), valLoss: 0.25, valAccuracy: 0.87654321 }],
    progress: { stage: 'Training', step: 2n, totalSteps: 10n, tokens: 200n, trainLoss: 0.123456789, tokensPerSecond: 1234.5678, etaSeconds: 9n, parameters: 5n, flops: 1.5e24, mfu: 0.45678, dataWaitShare: 0, stragglerRank: 3 },
    validation: { step: 2n, seenPolicies: { pairs: 2000n, loss: 0.25, lossStandardError: 0.001, accuracy: 0.87654321, accuracyLower: 0.85, accuracyUpper: 0.9 }, baselineSeenAccuracy: 0.6 },
    checkpoints: { items: [checkpoint(1, 0.3), checkpoint(2, 0.4)], bestStep: 1n },
  }), context);
  assert.equal(accepted, true);
  assert.equal(refusedFields, 0);
  assert.deepEqual(status.progress, {
    stage: 'Training', step: 2, totalSteps: 10, tokens: 200, computedTokens: 0, flops: '1500000000000000000000000', parameters: 5, trainLoss: '0.123457',
    mfu: '0.4568', dataWaitShare: '0', stragglerRank: 3, tokensPerSecond: '1235', etaSeconds: 9, valLoss: '0.25', valAccuracy: '0.8765', attempt: 1, seq: 7, resumedFromStep: 0, lostSteps: 0, source: 'Stream', lastReportTime: context.now,
  });
  assert.deepEqual(status.validation, {
    step: 2, styleBaseline: { seenAccuracy: '0.6' },
    seenPolicies: { pairs: 2000, loss: '0.25', lossStandardError: '0.001', accuracy: '0.8765', accuracyLower: '0.85', accuracyUpper: '0.9' },
  });
  assert.deepEqual(status.curve?.at(-1), { step: 2, tokens: 200, trainLoss: '0.123457', valLoss: '0.25', valAccuracy: '0.8765' });
  assert.equal(status.checkpoints?.latest?.uri, 'pvc://runs/ns/polarpretrain/demo-01234567/step-00000002');
  assert.equal(status.checkpoints?.best?.valLoss, '0.3');
  assert.deepEqual(status.checkpoints?.history?.map((record) => record.step), [2, 1]);
});

test('shows no rate and no time of arrival before the first step is measured', () => {
  const { progress } = merged([aReport({ progress: { stage: 'WarmStart', step: 3n, totalSteps: 20n } })]);
  assert.deepEqual([progress?.stage, progress?.step, progress?.tokensPerSecond, progress?.etaSeconds], ['WarmStart', 3, undefined, undefined]);
});

test('shows no utilisation of devices whose peak is not known, and none above all of it', () => {
  const { progress } = merged([aReport({ progress: { stage: 'Training', step: 3n } })]);
  assert.deepEqual([progress?.mfu, progress?.stragglerRank, 'mfu' in (progress ?? {})], [undefined, undefined, false]);
  const wrong = mergeReport({}, aReport({ progress: { stage: 'Training', step: 3n, mfu: 1.5, stragglerRank: -1 } }), context);
  assert.deepEqual([wrong.status.progress?.mfu, wrong.refusedFields], [undefined, 2]);
});

test('drops a message that the status already holds, and one of an earlier attempt', () => {
  const status = merged([aReport({ seq: 5n, points: [step(1)] })]);
  for (const old of [aReport({ seq: 5n, points: [step(9)] }), aReport({ seq: 4n }), aReport({ attempt: 0, seq: 99n })]) {
    assert.deepEqual(mergeReport(status, old, context), { status, accepted: false, refusedFields: 0 });
  }
});

test('a new attempt supersedes what came after the step it resumed from', () => {
  const first = merged([aReport({ points: [step(10), step(20), step(30, 0.9)], validation: { step: 30n, seenPolicies: { loss: 0.9, accuracy: 0.5 } } })]);
  const status = merged([aReport({ attempt: 2, seq: 1n, resumedFromStep: 20n, points: [step(21, 0.4)] })], first);
  assert.deepEqual(status.curve?.map((point) => point.step), [10, 20, 21]);
  assert.equal(status.validation, undefined);
  assert.equal(status.progress?.resumedFromStep, 20);
  assert.equal(status.progress?.valLoss, undefined);
});

test('steps beyond the one an attempt resumed from are counted as lost, once, over all attempts', () => {
  const reached = (attempt: number, seq: bigint, at: number, resumed = 0): ReportRequest => aReport({ attempt, seq, resumedFromStep: BigInt(resumed), progress: { stage: 'Training', step: BigInt(at) } });
  const reports = [reached(1, 1n, 90), reached(1, 2n, 100), reached(2, 1n, 80, 80), reached(2, 2n, 95, 80), reached(3, 1n, 95, 95), reached(4, 3n, 90, 90)];
  assert.equal(merged(reports).progress?.lostSteps, 20 + 0 + 5);
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 12 }), (again) => {
    // Whatever is sent again in between by a trainer or another replica is not newer.
    const noisy = reports.flatMap((report, i) => [report, ...again.filter((at) => at <= i).map((at) => reports[at] as ReportRequest)]);
    assert.equal(merged(noisy).progress?.lostSteps, 25);
  }));
});

test('steps of a warm start are not lost steps, and times of training outlive the attempt that measured them', () => {
  const first = aReport({ progress: { stage: 'WarmStart', step: 40n, trainSeconds: 12.3456, saveSeconds: 0.5, checkpointEverySeconds: 90 } });
  const { progress } = merged([first, aReport({ attempt: 2, seq: 1n })]);
  assert.deepEqual([progress?.lostSteps, progress?.trainSeconds, progress?.saveSeconds, progress?.checkpointEverySeconds], [0, '12.346', '0.5', '90']);
  assert.equal(merged([first, aReport({ attempt: 2, seq: 1n, progress: { trainSeconds: 3 } })]).progress?.trainSeconds, '3');
  assert.equal(mergeReport({}, aReport({ progress: { trainSeconds: -1, saveSeconds: Number.NaN, checkpointEverySeconds: 1e300 } }), context).refusedFields, 3);
});

test('the history replayed by the next attempt completes a curve whatever was lost before', () => {
  const all = Array.from({ length: 1000 }, (_, i) => step(i + 1));
  fc.assert(fc.property(fc.shuffledSubarray(all), fc.integer({ min: 0, max: 999 }), (received, resumed) => {
    const before = merged([aReport({ points: received })]);
    const after = merged([
      aReport({ attempt: 2, seq: 1n, resumedFromStep: BigInt(resumed), points: all.slice(0, resumed) }),
      aReport({ attempt: 2, seq: 2n, resumedFromStep: BigInt(resumed), points: all.slice(resumed) }),
    ], before);
    assert.deepEqual(after.curve, merged([aReport({ points: all })]).curve);
  }), { numRuns: 30 });
});

test('a value that cannot stand in a status costs that field alone', () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0.1, 1e300]) {
    const { status, refusedFields } = mergeReport({}, aReport({
      points: [{ step: 1n, tokens: 5n, trainLoss: bad, valLoss: 0.3 }], progress: { stage: 'Training', step: 1n, trainLoss: bad, tokensPerSecond: bad },
    }), context);
    assert.deepEqual(status.curve, [{ step: 1, tokens: 5, valLoss: '0.3' }]);
    assert.equal(status.progress?.step, 1);
    assert.equal(status.progress?.trainLoss, undefined);
    assert.ok(refusedFields >= 2);
  }
});

test('a checkpoint cannot point outside the directory of its run', () => {
  const paths = ['../../other/step-00000001', '/etc/passwd', 'step-00000002', 'pvc://other/step-1', 'step-00000001/../../x', ''];
  const { status, refusedFields } = mergeReport({}, aReport({
    checkpoints: { items: paths.map((path) => ({ ...checkpoint(1), path })), bestStep: 1n },
  }), context);
  for (const record of status.checkpoints?.history ?? []) assert.equal(record.uri, `${context.checkpointDirectoryUri ?? ''}/step-00000001`);
  assert.equal(status.checkpoints?.history?.length, 1);
  assert.equal(refusedFields, 5);
});

test('keeps the best checkpoint when it is no longer among the reported ones', () => {
  const before = merged([aReport({ checkpoints: { items: [checkpoint(1, 0.1)], bestStep: 1n } })]);
  const items = Array.from({ length: 15 }, (_, i) => checkpoint(i + 2));
  const { checkpoints } = merged([aReport({ seq: 2n, checkpoints: { items, bestStep: 1n } })], before);
  assert.equal(checkpoints?.best?.step, 1);
  assert.equal(checkpoints?.latest?.step, 16);
  assert.equal(checkpoints?.history?.length, 10);
});

test('shows branch points however many checkpoints came after them', () => {
  const items = Array.from({ length: 30 }, (_, i) => ({ ...checkpoint(i + 1), tokens: BigInt(1000 * (i + 1)) }));
  const branchPoints = { keepSteps: [2, 40], keepTokens: ['4500', '25K'] };
  const { status } = mergeReport({}, aReport({ checkpoints: { items, bestStep: 0n } }), { ...context, branchPoints });
  assert.deepEqual(status.checkpoints?.history?.map((record) => record.step), [30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 5, 2]);
});

const anyDouble = fc.double();
const anyInt64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const anyText = fc.string({ maxLength: 3000, unit: 'binary' });
const anyReport = fc.record({
  attempt: fc.integer({ min: 1, max: 3 }), seq: fc.bigInt({ min: 1n, max: 50n }), resumedFromStep: anyInt64,
  points: fc.array(fc.record({ step: fc.oneof(anyInt64, fc.bigInt({ min: 0n, max: 5000n })), tokens: anyInt64, trainLoss: anyDouble, valLoss: anyDouble, valAccuracy: anyDouble }), { maxLength: 400 }),
  progress: fc.record({ stage: anyText, step: anyInt64, totalSteps: anyInt64, tokens: anyInt64, trainLoss: anyDouble, tokensPerSecond: anyDouble, etaSeconds: anyInt64, flops: anyDouble, trainSeconds: anyDouble, saveSeconds: anyDouble, checkpointEverySeconds: anyDouble }),
  validation: fc.record({ step: anyInt64, seenPolicies: fc.record({ pairs: anyInt64, loss: anyDouble, accuracy: anyDouble }), baselineSeenAccuracy: anyDouble }),
  checkpoints: fc.record({
    bestStep: anyInt64,
    items: fc.array(fc.record({ step: anyInt64, path: anyText, manifestSha256: anyText, valLoss: anyDouble, tokens: anyInt64, completedAt: anyText }), { maxLength: 40 }),
  }),
}).map(aReport);

test('whatever a trainer sends, the status fits the schema and stays under 64 KiB', () => {
  fc.assert(fc.property(fc.array(anyReport, { maxLength: 4 }), (reports) => {
    const status = merged(reports);
    const parsed = runStatus.safeParse(status);
    assert.ok(parsed.success, parsed.error?.message);
    assert.deepEqual(parsed.data, status);
    assert.ok(Buffer.byteLength(JSON.stringify(status)) < 65_536);
  }), { numRuns: 60 });
});

test('replaying messages changes nothing', () => {
  fc.assert(fc.property(fc.array(anyReport, { maxLength: 4 }), (reports) => {
    const inOrder = reports.toSorted((a, b) => a.attempt - b.attempt || Number(a.seq - b.seq));
    const status = merged(inOrder);
    assert.deepEqual(merged(inOrder, status), status);
    assert.deepEqual(merged(inOrder.toReversed(), status), status);
  }), { numRuns: 60 });
});

test('a full status of 200 points and ten checkpoints stays far below 64 KiB', () => {
  const points = Array.from({ length: 5000 }, (_, i) => ({ ...step(i, Math.random()), valLoss: Math.random(), valAccuracy: Math.random() }));
  const status = merged([aReport({ points, checkpoints: { items: Array.from({ length: 20 }, (_, i) => checkpoint(i)), bestStep: 3n } })]);
  assert.ok(Buffer.byteLength(JSON.stringify(status)) < 32_768);
});
