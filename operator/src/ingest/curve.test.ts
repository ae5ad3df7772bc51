import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { CurvePoint } from '../api/status.ts';
import { mergeCurve } from './curve.ts';

const decimal = fc.integer({ min: 0, max: 9999 }).map((n) => (n / 1000).toFixed(3));
const pointArbitrary: fc.Arbitrary<CurvePoint> = fc.record({
  step: fc.integer({ min: 0, max: 50_000 }),
  tokens: fc.integer({ min: 0, max: 1e9 }),
  trainLoss: decimal,
  valLoss: fc.option(decimal, { nil: undefined, freq: 3 }),
}).map(({ valLoss, ...rest }) => (valLoss === undefined ? rest : { ...rest, valLoss }));
const curveArbitrary = fc.uniqueArray(pointArbitrary, { selector: (point) => point.step, minLength: 1, maxLength: 600 });

test('a curve never has more than 200 points and its steps only rise', () => {
  fc.assert(fc.property(curveArbitrary, (points) => {
    const curve = mergeCurve([], points);
    assert.ok(curve.length <= 200 && curve.length > 0);
    for (const [i, point] of curve.slice(1).entries()) assert.ok(point.step > (curve[i] as CurvePoint).step);
  }));
});

test('a curve keeps its first and last point, its last validation and the lowest and highest loss of both kinds', () => {
  fc.assert(fc.property(curveArbitrary, (points) => {
    const steps = points.map((point) => point.step);
    const curve = mergeCurve([], points);
    assert.equal(curve[0]?.step, Math.min(...steps));
    assert.equal(curve.at(-1)?.step, Math.max(...steps));
    for (const field of ['trainLoss', 'valLoss'] as const) {
      const losses = (of: readonly CurvePoint[]): number[] => of.flatMap((point) => (point[field] === undefined ? [] : [Number(point[field])]));
      assert.equal(Math.min(...losses(curve)), Math.min(...losses(points)), field);
      assert.equal(Math.max(...losses(curve)), Math.max(...losses(points)), field);
    }
    const lastValidated = points.filter((point) => point.valLoss !== undefined).map((point) => point.step);
    if (lastValidated.length > 0) assert.ok(curve.some((point) => point.valLoss !== undefined && point.step === Math.max(...lastValidated)));
  }));
});

/** As the trainer may tell a point: loss and validation together or one after the other. */
const asReported = ({ step, tokens, trainLoss, valLoss }: CurvePoint, isSplit: boolean): CurvePoint[] => {
  const at = { step, ...(tokens !== undefined && { tokens }) };
  if (!isSplit) return [{ ...at, ...(trainLoss !== undefined && { trainLoss }), ...(valLoss !== undefined && { valLoss }) }];
  return [...(trainLoss === undefined ? [] : [{ ...at, trainLoss }]), ...(valLoss === undefined ? [] : [{ ...at, valLoss }])];
};

test('points end in the same curve one by one, in batches, repeated, split or out of order', () => {
  const batches = curveArbitrary.chain((points) => fc.tuple(
    fc.constant(points),
    fc.shuffledSubarray(points, { minLength: points.length }).chain((shuffled) => fc.shuffledSubarray(shuffled.flatMap((point) => asReported(point, point.step % 2 === 0)), { minLength: shuffled.length })),
    fc.integer({ min: 1, max: 100 }),
    fc.boolean(),
  ));
  fc.assert(fc.property(batches, ([points, shuffled, size, isRepeated]) => {
    const whole = mergeCurve([], points);
    let curve: CurvePoint[] = [];
    for (let i = 0; i < shuffled.length; i += size) {
      const batch = shuffled.slice(i, i + size);
      curve = mergeCurve(curve, batch);
      if (isRepeated) curve = mergeCurve(curve, batch);
    }
    const missing = points.flatMap((point) => asReported(point, true)).filter((point) => !shuffled.some((other) => covers(other, point)));
    assert.deepEqual(mergeCurve(curve, missing), whole);
  }), { numRuns: 80 });
});

const covers = (a: CurvePoint, b: CurvePoint): boolean => a.step === b.step && (b.trainLoss === undefined || a.trainLoss === b.trainLoss) && (b.valLoss === undefined || a.valLoss === b.valLoss);

const lossAt = (step: number): string => (2 / Math.log(step + 3) + ((step * 7919) % 100) / 5000).toFixed(6);
const longRun = (steps: number): CurvePoint[] => Array.from({ length: steps }, (_, step): CurvePoint => (
  { step, tokens: step * 1000, trainLoss: lossAt(step), ...(step % 500 === 0 ? { valLoss: lossAt(step) } : {}) }));

test('spikes of the training loss stay visible, however old they are', () => {
  const points = longRun(100_000);
  for (const step of [7, 30_001, 99_000]) points[step] = { ...points[step] as CurvePoint, trainLoss: '11.5' };
  points[50_003] = { ...points[50_003] as CurvePoint, trainLoss: '0.001' };
  let curve: CurvePoint[] = [];
  for (let i = 0; i < points.length; i += 1000) curve = mergeCurve(curve, points.slice(i, i + 1000));
  for (const step of [7, 30_001, 99_000, 50_003]) assert.ok(curve.some((point) => point.step === step && point.trainLoss === points[step]?.trainLoss), `step ${String(step)}`);
});

test('a long curve uses its 200 points whatever its length, the newer half with the finer steps', () => {
  for (const steps of [10_000, 15_000, 20_000, 30_001, 65_536, 100_000]) {
    const curve = mergeCurve([], longRun(steps));
    const count = (field: 'trainLoss' | 'valLoss'): number => curve.filter((point) => point[field] !== undefined).length;
    const shape = `${String(steps)} steps: ${String(curve.length)} points, ${String(count('trainLoss'))} losses, ${String(count('valLoss'))} validations`;
    assert.ok(count('trainLoss') >= 140 && curve.length <= 200, shape);
    assert.ok(count('valLoss') >= Math.min(steps / 500, 45), shape);
    const newer = curve.filter((point) => point.step >= steps / 2).length;
    assert.ok(newer >= curve.length * 0.45, `${String(steps)} steps: ${String(newer)} of ${String(curve.length)} in the newer half`);
  }
});

test('a million points end in the curve that they end in at once, in time linear in their number', () => {
  const points = longRun(1_000_000);
  const at = performance.now();
  const whole = mergeCurve([], points);
  const atOnceMs = performance.now() - at;
  let curve: CurvePoint[] = [];
  for (let i = 0; i < points.length; i += 1000) curve = mergeCurve(curve, points.slice(i, i + 1000));
  assert.deepEqual(curve, whole);
  assert.ok(curve.length <= 200);
  assert.ok(atOnceMs < 20_000, `${String(atOnceMs)} ms`);
});

test('a run of 500 steps with a validation every 50 keeps every validation', () => {
  const points = Array.from({ length: 501 }, (_, step): CurvePoint => (
    { step, tokens: step * 1000, trainLoss: '0.5', ...(step % 50 === 0 ? { valLoss: String(1 - step / 1000) } : {}) }));
  const curve = mergeCurve([], points);
  assert.equal(curve.filter((point) => point.valLoss !== undefined).length, 11);
  assert.ok(curve.length > 100, `${String(curve.length)} points`);
});

test('a short curve is kept whole', () => {
  const points = Array.from({ length: 50 }, (_, i): CurvePoint => ({ step: i * 10, trainLoss: '0.5' }));
  assert.deepEqual(mergeCurve([], points), points);
});

test('a validation that comes after the training loss of the same step completes that point', () => {
  assert.deepEqual(mergeCurve([{ step: 5, tokens: 9, trainLoss: '0.5' }], [{ step: 5, valLoss: '0.4' }]), [{ step: 5, tokens: 9, trainLoss: '0.5', valLoss: '0.4' }]);
});
