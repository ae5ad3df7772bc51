// A fit with everything it was asked: predictions, what losses need, and how the runs kept out of it compare.
import { needed, predict } from '../sweep/fit/predict.ts';
import type { At, Axis, Fit, FitOptions, Form, Needed, Prediction } from '../sweep/fit/types.ts';
import { UsageError } from './command.ts';
import type { Law } from './law.ts';
import { cheapest } from './law.ts';
import type { AxisName, PointRow, Points } from './points.ts';
import { AXES } from './points.ts';
import { completePlace } from './questions.ts';

export interface Questions {
  readonly predict: readonly { readonly text: string; readonly at: At }[];
  readonly need: readonly { readonly text: string; readonly loss: number; readonly at: At }[];
}

export interface Fitted {
  readonly source: string;
  readonly points: Points;
  readonly fitting: FitOptions;
  readonly fit: Fit;
}

export interface HeldOut {
  readonly row: PointRow;
  readonly predicted: Prediction;
  /** predicted / measured - 1 */
  readonly error: number;
}

export interface FitAnswer extends Fitted {
  readonly law: Law;
  readonly predictions: readonly { readonly text: string; readonly at: At; readonly prediction: Prediction }[];
  readonly needs: readonly { readonly text: string; readonly loss: number; readonly at: At; readonly needed: Needed | 'unreachable' }[];
  readonly heldOut: readonly HeldOut[];
}

export function lawOf(fit: Fit): Law {
  return { form: fit.form, ...(fit.axis === undefined ? {} : { axis: fit.axis }), values: Object.fromEntries(fit.estimates.map(({ name, value }) => [name, value])) };
}

/** Throws UsageError when a question lacks what the form needs, before any time is spent. */
export function checkQuestions({ form, axis }: { readonly form: Form; readonly axis?: AxisName }, questions: Questions): void {
  for (const { text, at } of questions.predict) {
    const place = completePlace(at);
    if (form === 'joint' && place.flops === undefined) throw new UsageError(`--predict ${text}: expected N and D, or C, for the form joint`);
    if (form !== 'joint' && axis !== undefined) requireAxis(place, AXES[axis], text);
  }
  for (const need of questions.need) checkNeed(form, need);
}

function checkNeed(form: Form, { text, at }: Questions['need'][number]): void {
  if (at.flops !== undefined || Object.keys(at).length > (form === 'joint' ? 1 : 0)) {
    throw new UsageError(`--need ${text}: expected ${form === 'joint' ? 'a loss, or a loss with N or D' : 'a loss alone'}`);
  }
}

function requireAxis(place: At, axis: Axis, text: string): void {
  if (place[axis] === undefined) throw new UsageError(`--predict ${text}: expected ${axis}, which is X of the law (--x)`);
}

/** Throws FitError when the law cannot be asked that. */
export function answerOf(fitted: Fitted, questions: Questions): FitAnswer {
  const { fit, points } = fitted;
  const law = lawOf(fit);
  const predictions = questions.predict.map(({ text, at }) => predictionOf(fit, law, text, at));
  return {
    ...fitted, law, predictions,
    needs: questions.need.map((need) => ({ ...need, needed: needed(fit, need.loss, need.at) })),
    heldOut: points.heldOut.map((row) => {
      const { parameters, tokens, flops } = row.observation;
      const predicted = predict(fit, completePlace(defined({ parameters, tokens, flops })));
      return { row, predicted, error: predicted.loss / row.observation.loss - 1 };
    }),
  };
}

function predictionOf(fit: Fit, law: Law, text: string, at: At): FitAnswer['predictions'][number] {
  const place = completePlace(at);
  if (law.form !== 'joint') requireAxis(place, law.axis ?? 'parameters', text);
  // FLOPs alone are split in the best way, in every sample anew.
  const isSplit = law.form === 'joint' && place.parameters === undefined && place.flops !== undefined;
  return { text, at: isSplit ? cheapest(law, place.flops) : place, prediction: predict(fit, place) };
}

function defined(place: { readonly [Name in keyof At]: At[Name] | undefined }): At {
  return Object.fromEntries(Object.entries(place).filter(([, value]) => value !== undefined));
}
