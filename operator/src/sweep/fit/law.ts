// The sum laws, in logs: ln L = ln(exp(e) + sum_k exp(c_k - a_k x_k)). Offset has one term, joint has two, and without
// the constant the same code fits what is left of them when E is 0. Free parameters: [e], c_1.., a_1.. .

/** ln X (centred) per term, and ln loss. */
export interface Design {
  readonly x: readonly Float64Array[];
  readonly y: Float64Array;
  /** What was subtracted from ln X, per term. */
  readonly centre: readonly number[];
}

/** Huber's objective at one parameter vector, with the matrices of its quadratic models (row by row). */
export interface Local {
  value: number;
  readonly gradient: Float64Array;
  /** Exact second derivatives; may be indefinite. */
  readonly hessian: Float64Array;
  /** That of the reweighted squares that lie above the objective: positive semi-definite. */
  readonly majorant: Float64Array;
}

/** What is minimised: the sum over points of weight x Huber(ln loss - ln law). No weights means ones. */
export interface Problem {
  readonly design: Design;
  readonly weights?: Float64Array;
  readonly delta: number;
  readonly offset: boolean;
}

export function dimension(problem: Pick<Problem, 'design' | 'offset'>): number {
  return 2 * problem.design.x.length + (problem.offset ? 1 : 0);
}

export function newLocal(size: number): Local {
  return { value: 0, gradient: new Float64Array(size), hessian: new Float64Array(size * size), majorant: new Float64Array(size * size) };
}

/** Huber's loss of one residual: half its square up to delta, straight beyond. */
export function huber(residual: number, delta: number): number {
  const size = Math.abs(residual);
  return size <= delta ? 0.5 * size * size : delta * (size - 0.5 * delta);
}

/** ln of the law at point i; `share` gets each summand's share of the law, the constant first. */
function logLaw(problem: Problem, theta: Float64Array, i: number, share: Float64Array): number {
  const { x } = problem.design;
  const from = problem.offset ? 1 : 0;
  if (problem.offset) share[0] = theta[0]!;
  for (let k = 0; k < x.length; k++) share[from + k] = theta[from + k]! - theta[from + x.length + k]! * x[k]![i]!;
  let top = share[0]!;
  for (let j = 1; j < from + x.length; j++) if (share[j]! > top) top = share[j]!;
  let sum = 0;
  for (let j = 0; j < from + x.length; j++) { share[j] = Math.exp(share[j]! - top); sum += share[j]!; }
  for (let j = 0; j < from + x.length; j++) share[j] = share[j]! / sum;
  return top + Math.log(sum);
}

/** ln measured - ln law at every point. */
export function residuals(problem: Problem, theta: Float64Array): Float64Array {
  const share = new Float64Array(problem.design.x.length + 1);
  return problem.design.y.map((y, i) => y - logLaw(problem, theta, i, share));
}

export function valueAt(problem: Problem, theta: Float64Array): number {
  const share = new Float64Array(problem.design.x.length + 1);
  const { y } = problem.design;
  let value = 0;
  for (let i = 0; i < y.length; i++) {
    const weight = problem.weights?.[i] ?? 1;
    if (weight !== 0) value += weight * huber(y[i]! - logLaw(problem, theta, i, share), problem.delta);
  }
  return value;
}

/** Value, gradient and both matrices at theta, into `local`. */
export function evaluate(problem: Problem, theta: Float64Array, local: Local): void {
  const { y } = problem.design;
  const size = theta.length;
  const share = new Float64Array(problem.design.x.length + 1);
  const slope = new Float64Array(size);
  local.value = 0;
  local.gradient.fill(0);
  local.hessian.fill(0);
  local.majorant.fill(0);
  for (let i = 0; i < y.length; i++) {
    const weight = problem.weights?.[i] ?? 1;
    if (weight === 0) continue;
    const residual = y[i]! - logLaw(problem, theta, i, share);
    const inside = Math.abs(residual) <= problem.delta;
    const pull = inside ? residual : Math.sign(residual) * problem.delta;
    local.value += weight * huber(residual, problem.delta);
    slopes(problem, i, share, slope);
    outer(local, slope, { gradient: -weight * pull, hessian: weight * ((inside ? 1 : 0) + pull), majorant: weight * (inside ? 1 : problem.delta / Math.abs(residual)) });
    curve(problem, i, { share, factor: -weight * pull }, local.hessian);
  }
  mirror(local.hessian, size);
  mirror(local.majorant, size);
}

function slopes(problem: Problem, i: number, share: Float64Array, slope: Float64Array): void {
  const { x } = problem.design;
  const from = problem.offset ? 1 : 0;
  if (problem.offset) slope[0] = share[0]!;
  for (let k = 0; k < x.length; k++) {
    slope[from + k] = share[from + k]!;
    slope[from + x.length + k] = -share[from + k]! * x[k]![i]!;
  }
}

function outer(local: Local, slope: Float64Array, by: { readonly gradient: number; readonly hessian: number; readonly majorant: number }): void {
  const size = slope.length;
  for (let p = 0; p < size; p++) {
    local.gradient[p]! += by.gradient * slope[p]!;
    for (let q = 0; q <= p; q++) {
      const product = slope[p]! * slope[q]!;
      local.hessian[p * size + q]! += by.hessian * product;
      local.majorant[p * size + q]! += by.majorant * product;
    }
  }
}

/** The part of the second derivatives of ln law that is not minus the square of its slopes. */
function curve(problem: Problem, i: number, at: { readonly share: Float64Array; readonly factor: number }, hessian: Float64Array): void {
  const { x } = problem.design;
  const terms = x.length;
  const from = problem.offset ? 1 : 0;
  const size = from + 2 * terms;
  if (problem.offset) hessian[0]! += at.factor * at.share[0]!;
  for (let k = 0; k < terms; k++) {
    const c = from + k;
    const a = c + terms;
    const term = at.factor * at.share[c]!;
    const u = x[k]![i]!;
    hessian[c * size + c]! += term;
    hessian[a * size + c]! -= term * u;
    hessian[a * size + a]! += term * u * u;
  }
}

function mirror(matrix: Float64Array, size: number): void {
  for (let p = 0; p < size; p++) for (let q = 0; q < p; q++) matrix[q * size + p] = matrix[p * size + q]!;
}
