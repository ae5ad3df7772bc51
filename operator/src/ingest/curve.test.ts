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

test('a curve keeps its first and last point, its last validation and its lowest validation loss', () => {
  fc.assert(fc.property(curveArbitrary, (points) => {
    const steps = points.map((point) => point.step);
    const curve = mergeCurve([], points);
    assert.equal(curve[0]?.step, Math.min(...steps));
    assert.equal(curve.at(-1)?.step, Math.max(...steps));
    const validated = points.filter((point) => point.valLoss !== undefined);
    if (validated.length === 0) return;
    const losses = (of: readonly CurvePoint[]): number[] => of.flatMap((point) => (point.valLoss === undefined ? [] : [Number(point.valLoss)]));
    assert.equal(Math.min(...losses(curve)), Math.min(...losses(validated)));
    assert.ok(curve.some((point) => point.step === Math.max(...validated.map((v) => v.step))));
  }));
});

test('points end in the same curve one by one, in batches, repeated or out of order', () => {
  const batches = curveArbitrary.chain((points) => fc.tuple(
    fc.constant(points),
    fc.shuffledSubarray(points, { minLength: points.length }),
    fc.integer({ min: 1, max: 100 }),
  ));
  fc.assert(fc.property(batches, ([points, shuffled, size]) => {
    const whole = mergeCurve([], points);
    let curve: CurvePoint[] = [];
    for (let i = 0; i < shuffled.length; i += size) {
      const batch = shuffled.slice(i, i + size);
      curve = mergeCurve(mergeCurve(curve, batch), batch);
    }
    assert.deepEqual(curve, whole);
  }), { numRuns: 60 });
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
