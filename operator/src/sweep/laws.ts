// The laws of a sweep's finished points and what they say of its targets. Pure, and slow with many resamples.
import { parseCount } from '../api/scalars.ts';
import type { SweepTarget } from '../api/sweep.ts';
import type { FitStatus, PredictionStatus, SweepStatus } from '../api/sweepStatus.ts';
import { comparable } from './comparable.ts';
import { decimal } from './decimals.ts';
import type { Law } from './design/candidate.ts';
import { FitError } from './fit/error.ts';
import { fitLaw } from './fit/fit.ts';
import { frontier } from './fit/frontier.ts';
import { needed, predict } from './fit/predict.ts';
import type { Amount, At, Axis, Curve, Fit, FitOptions, Observation } from './fit/types.ts';
import { observationOf, parametersOf } from './observations.ts';
import type { FitSpec } from './observations.ts';
import { optimaFields } from './optima.ts';
import type { PointRecord } from './point.ts';

export interface LawsRequest {
  /** Of points on the axes, in an order that does not depend on which ended first. */
  readonly records: readonly PointRecord[];
  readonly fit: FitSpec;
  readonly targets: readonly SweepTarget[];
  /** The law that strategy planned works with. */
  readonly design?: Law;
}

/** What the thread that fits tells: the law to plan with first, since runs wait for it. */
export interface Answer {
  readonly design?: Fit | 'none';
  readonly laws?: Laws;
}

export interface Laws {
  readonly fields: Pick<SweepStatus, 'fits' | 'prediction' | 'summary' | 'optima' | 'hyperLaws'>;
  /** Why laws that were asked for are missing. */
  readonly missing: readonly string[];
}

const MOST_AMOUNTS = 20;
const MOST_PREDICTIONS = 64;
const DESIGN_RESAMPLES = 200;

/** Fits every form that was asked for, over each X that varies. */
export function lawsOf({ records, fit, targets }: LawsRequest): Laws {
  const missing: string[] = [];
  const fits = wantedLaws(records, fit).flatMap((options) => {
    try {
      return [fitLaw(observationsFor(records, fit, options), options)];
    } catch (error) {
      if (!(error instanceof FitError)) throw error;
      missing.push(`${options.form}${options.axis === undefined ? '' : ` over ${options.axis}`}: ${error.message}`);
      return [];
    }
  });
  const prediction = targets.flatMap((target, index) => fits.flatMap((one) => predictionOf(one, target, index))).slice(0, MOST_PREDICTIONS);
  return { fields: { fits: fits.map(statusOf), prediction, ...summaryOf(fits[0], prediction[0]), ...optimaFields(records, fit) }, missing };
}

/** The law to plan with; none while points are too few. */
export function designFit({ records, fit, design }: LawsRequest): Fit | 'none' {
  if (design === undefined) return 'none';
  const options = { ...design, delta: Number(fit.huberDelta), bootstrap: Math.min(fit.bootstrap, DESIGN_RESAMPLES) };
  try {
    return fitLaw(observationsFor(records, fit, design), options);
  } catch (error) {
    if (error instanceof FitError) return 'none';
    throw error;
  }
}

/** Forms and axes, in the order of the spec: parameters when several sizes ended, else tokens; then FLOPs. */
export function wantedLaws(records: readonly PointRecord[], { forms, huberDelta, bootstrap, parameters }: FitSpec): readonly FitOptions[] {
  const used = records.filter(({ outcome }) => outcome === 'Succeeded');
  const sizes = new Set(used.map((record) => parametersOf(record, parameters))).size;
  const budgets = new Set(used.map(({ point }) => point.tokens ?? point.steps)).size;
  const axes: readonly Axis[] = [sizes > 1 || budgets < 2 ? 'parameters' : 'tokens', 'flops'];
  const options = { delta: Number(huberDelta), bootstrap };
  return forms.flatMap((form): readonly FitOptions[] => (form === 'joint' ? [{ form, ...options }] : axes.map((axis) => ({ form, axis, ...options }))));
}

/** What a law of that form is fitted to: over parameters the sizes at one budget, over tokens the budgets of one size, over FLOPs the frontier of all curves; of points that differ in nothing the law knows but the seed, the best one. */
export function observationsFor(records: readonly PointRecord[], fit: FitSpec, { form, axis }: Pick<FitOptions, 'form' | 'axis'>): readonly Observation[] {
  const all = records.flatMap((record) => { const one = observationOf(record, fit); return one === undefined ? [] : [{ record, one, budget: record.point.tokens ?? record.point.steps ?? 0 }]; });
  if (form !== 'joint' && axis === 'flops' && fit.policies === 'seen') {
    const curves = all.flatMap(({ record }) => curveOf(record, fit));
    return curves.length === 0 ? [] : frontier(curves, Math.min(MOST_AMOUNTS, Math.max(3, curves.length)));
  }
  const used = form === 'joint' || axis === 'flops' ? all : comparable(all, axis ?? 'parameters');
  const groups = Map.groupBy(used, ({ record, one }) => JSON.stringify([record.point.seed, ...(form === 'joint' ? [one.parameters, one.tokens] : [one[axis ?? 'parameters']])]));
  return [...groups.values()].map((group) => group.reduce((best, other) => (other.one.loss < best.one.loss ? other : best)).one);
}

function curveOf(record: PointRecord, fit: FitSpec): readonly Curve[] {
  const end = observationOf(record, fit);
  if (end?.flops === undefined || end.parameters === undefined) return [];
  const perToken = end.flops / record.tokens;
  const before = record.curve.filter(({ tokens, valLoss }) => tokens > 0 && tokens < record.tokens && valLoss > 0);
  return [{ parameters: end.parameters, label: record.id, points: [...before.map(({ tokens, valLoss }) => ({ flops: perToken * tokens, loss: valLoss })), { flops: end.flops, loss: end.loss }] }];
}

function statusOf(fit: Fit): FitStatus {
  const { form, axis = 'parametersAndTokens', estimates, r2, objective, points, extrapolation, warnings } = fit;
  return {
    form, x: axis, r2: decimal(r2), objective: decimal(objective), points, warnings: warnings.slice(0, 16).map((text) => text.slice(0, 512)),
    parameters: estimates.map(({ name, value, standardError, lower, upper }) => ({ name, value: decimal(value), standardError: decimal(standardError), lower: decimal(lower), upper: decimal(upper) })),
    ...(extrapolation === undefined ? {} : { extrapolationError: decimal(extrapolation.error) }),
  };
}

function predictionOf(fit: Fit, target: SweepTarget, index: number): readonly PredictionStatus[] {
  const about = { name: target.name ?? `target-${index + 1}`, form: fit.form, x: fit.axis ?? 'parametersAndTokens' };
  const place = placeOf(target);
  return target.loss === undefined ? lossAt(fit, place, about) : needsOf(fit, Number(target.loss), place).map((rest) => ({ ...about, ...rest }));
}

type About = Pick<PredictionStatus, 'name' | 'form' | 'x'>;

function lossAt(fit: Fit, place: At, about: About): readonly PredictionStatus[] {
  if (!canAsk(fit, place)) return [];
  const { loss, lower, upper } = predict(fit, place);
  return [{ ...about, ...texts(place), loss: decimal(loss), lower: decimal(lower), upper: decimal(upper) }];
}

function canAsk({ form, axis = 'parameters' }: Fit, place: At): boolean {
  return form === 'joint' ? place.parameters !== undefined && place.tokens !== undefined : place[axis] !== undefined;
}

/** What the target names, with FLOPs where they follow. */
function placeOf({ parameters, tokens }: SweepTarget): At {
  const [size, budget] = [parameters, tokens].map((text) => (text === undefined ? undefined : parseCount(text)));
  return {
    ...(size === undefined ? {} : { parameters: size }), ...(budget === undefined ? {} : { tokens: budget }),
    ...(size === undefined || budget === undefined ? {} : { flops: 6 * size * budget }),
  };
}

function needsOf(fit: Fit, loss: number, place: At): readonly PredictionStatus[] {
  // A law of one X has nothing to say about what else a given size needs.
  if (fit.form !== 'joint' && place.parameters !== undefined) return [];
  const answer = needed(fit, loss, place);
  if (answer === 'unreachable') return [{ ...texts(place), loss: decimal(loss), message: 'this law never reaches that loss' }];
  const { parameters, tokens, flops } = answer;
  return [{ ...texts(place), loss: decimal(loss), ...amount('parameters', parameters), ...amount('tokens', tokens), ...amount('flops', flops) }];
}

function amount(name: Axis, of: Amount | undefined): PredictionStatus {
  if (of === undefined) return {};
  return { [name]: decimal(of.value), [`${name}Lower`]: decimal(of.lower), ...(of.upper === undefined ? {} : { [`${name}Upper`]: decimal(of.upper) }) };
}

function texts(place: At): PredictionStatus {
  return Object.fromEntries(Object.entries(place).map(([name, value]) => [name, decimal(value as number)]));
}

function summaryOf(fit: Fit | undefined, prediction: PredictionStatus | undefined): Pick<SweepStatus, 'summary'> {
  if (fit === undefined) return {};
  const exponent = fit.estimates.find(({ name }) => name === 'a' || name === 'alpha')?.value;
  const predicted = answeredBy(prediction ?? {});
  return { summary: { ...(exponent === undefined ? {} : { exponent: exponent.toPrecision(4) }), r2: fit.r2.toFixed(4), ...(predicted === undefined ? {} : { predicted }) } };
}

/** The loss that is predicted, or what is needed for one. */
function answeredBy({ lower, loss, parametersLower, parameters, tokensLower, tokens, flops }: PredictionStatus): string | undefined {
  if (lower !== undefined) return loss;
  if (parametersLower !== undefined) return parameters;
  return tokensLower === undefined ? flops : tokens;
}
