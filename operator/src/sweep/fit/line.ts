import { rangeOf, r2Of } from './bare.ts';
import { squares, studentQuantile } from './numbers.ts';
import { fitPower } from './power.ts';
import { seeded, studentFactor } from './random.ts';
import type { Bare } from './bare.ts';
import type { Columns } from './columns.ts';
import type { Line } from './power.ts';
import type { Settings } from './settings.ts';
import type { Estimate } from './types.ts';

/** The power form as a fit: t intervals of ln b and a; samples are drawn from the same Student's distribution. */
export function fitLine(columns: Columns, settings: Settings): Bare {
  const lnLoss = columns.loss.map(Math.log);
  const line = fitPower(columns.x[0]!.map(Math.log), lnLoss);
  return {
    form: 'power', axis: settings.axis ?? 'parameters', estimates: estimatesOf(line, settings.confidence), objective: line.objective,
    r2: r2Of(line.residuals, squares(lnLoss)), points: lnLoss.length, degreesOfFreedom: line.degreesOfFreedom, confidence: settings.confidence,
    residuals: line.residuals, scatter: Math.sqrt(line.objective / line.degreesOfFreedom), range: rangeOf(columns),
    samples: samplesOf(line, settings), covariance: line.covariance,
  };
}

function estimatesOf(line: Line, confidence: number): Estimate[] {
  const t = studentQuantile(confidence, line.degreesOfFreedom);
  const [ofIntercept, ofSlope] = [0, 1].map((p) => Math.sqrt(line.covariance[p]![p]!)) as [number, number];
  const b = Math.exp(line.intercept);
  return [
    { name: 'b', value: b, standardError: b * ofIntercept, lower: Math.exp(line.intercept - t * ofIntercept), upper: Math.exp(line.intercept + t * ofIntercept) },
    { name: 'a', value: line.slope, standardError: ofSlope, lower: line.slope - t * ofSlope, upper: line.slope + t * ofSlope },
  ];
}

function samplesOf(line: Line, settings: Settings): number[][] {
  const random = seeded(settings.seed);
  const [[of00, of01], [, of11]] = line.covariance as [[number, number], [number, number]];
  const slopeScale = Math.sqrt(of11);
  const along = slopeScale > 0 ? of01 / slopeScale : 0;
  const across = Math.sqrt(Math.max(0, of00 - along * along));
  return Array.from({ length: settings.bootstrap }, () => {
    const factor = studentFactor(random, line.degreesOfFreedom);
    const first = factor * random.normal();
    return [Math.exp(line.intercept + along * first + across * factor * random.normal()), line.slope + slopeScale * first];
  });
}
