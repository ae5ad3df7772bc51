import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import { evaluate, newLocal, valueAt } from './law.ts';
import type { Local, Problem } from './law.ts';

/** Bounds of every parameter. */
export interface Box {
  readonly lower: Float64Array;
  readonly upper: Float64Array;
}

export interface Minimum {
  readonly theta: Float64Array;
  readonly value: number;
}

const STEPS = 200;
/** A step whose promised gain is below this part of the objective ends the descent. */
const GAIN = 1e-12;

/** No damping above it makes a step that helps: what is left is rounding. */
const HOPELESS = 1e12;

/** Damped Newton descent within the box: exact second derivatives plus `damping` x the reweighted squares, so that no step is ever uphill for long. */
export function descend(problem: Problem, start: Float64Array, box: Box): Minimum {
  let theta: Float64Array = start.map((value, p) => clamp(value, box, p));
  const local = newLocal(theta.length);
  evaluate(problem, theta, local);
  let damping = 0.1;
  let growth = 2;
  for (let step = 0; step < STEPS && damping < HOPELESS; step++) {
    const trial = propose(local, theta, box, damping);
    if (trial !== undefined && trial.gain <= GAIN * local.value) break;
    const value = trial === undefined ? Infinity : valueAt(problem, trial.theta);
    const ratio = trial === undefined ? 0 : (local.value - value) / trial.gain;
    if (ratio > 0) { damping = eased(damping, ratio); growth = 2; } else { damping = Math.max(damping, 1e-6) * growth; growth *= 2; }
    if (trial === undefined || !(value < local.value)) continue;
    theta = trial.theta;
    evaluate(problem, theta, local);
  }
  return { theta, value: local.value };
}

/** The damping after a step that helped: less, the more of the promised gain came true. */
function eased(damping: number, ratio: number): number {
  const next = damping * Math.max(1 / 8, 1 - (2 * Math.min(ratio, 1) - 1) ** 3);
  return next < 1e-8 ? 0 : next;
}

function clamp(value: number, box: Box, p: number): number {
  return Math.min(box.upper[p]!, Math.max(box.lower[p]!, value));
}

/** Parameters that a bound does not hold back. */
function freeOf(local: Local, theta: Float64Array, box: Box): number[] {
  const free: number[] = [];
  for (let p = 0; p < theta.length; p++) {
    const held = (theta[p]! <= box.lower[p]! && local.gradient[p]! > 0) || (theta[p]! >= box.upper[p]! && local.gradient[p]! < 0);
    if (!held) free.push(p);
  }
  return free;
}

/** The step of the damped model, cut at the box, with the gain the model promises; undefined when the model has no minimum. */
function propose(local: Local, theta: Float64Array, box: Box, damping: number): { theta: Float64Array; gain: number } | undefined {
  const free = freeOf(local, theta, box);
  if (free.length === 0) return { theta, gain: 0 };
  const size = theta.length;
  let ridge = 0;
  for (const p of free) ridge = Math.max(ridge, local.majorant[p * size + p]!);
  ridge *= 1e-12 + 1e-9 * damping;
  const model = new Matrix(free.map((p) => free.map((q) => local.hessian[p * size + q]! + damping * local.majorant[p * size + q]! + (p === q ? ridge : 0))));
  const factor = new CholeskyDecomposition(model);
  if (!factor.isPositiveDefinite()) return undefined;
  const step = factor.solve(Matrix.columnVector(free.map((p) => -local.gradient[p]!)));
  const next = theta.slice();
  free.forEach((p, row) => { next[p] = clamp(theta[p]! + step.get(row, 0), box, p); });
  const gain = promised(local, theta, next);
  return Number.isFinite(gain) ? { theta: next, gain: Math.abs(gain) } : undefined;
}

function promised(local: Local, theta: Float64Array, next: Float64Array): number {
  const size = theta.length;
  let gain = 0;
  for (let p = 0; p < size; p++) {
    const move = next[p]! - theta[p]!;
    gain -= move * local.gradient[p]!;
    for (let q = 0; q < size; q++) gain -= 0.5 * move * (next[q]! - theta[q]!) * local.hessian[p * size + q]!;
  }
  return gain;
}
