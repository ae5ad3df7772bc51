// The status of a sweep: counts, fits and failures. Its points live in the runs and in ConfigMaps.
import { z } from 'zod';
import { SWEEP_PHASES } from './reasons.ts';
import { condition } from './status.ts';

const number = (description: string): z.ZodOptional<z.ZodString> => z.string().max(32).optional().meta({ description });
const whole = (description: string): z.ZodOptional<z.ZodInt> => z.int().min(0).optional().meta({ description });
const time = (description: string): z.ZodOptional<z.ZodString> => z.string().max(40).optional().meta({ description, format: 'date-time' });
const text = (max: number, description: string): z.ZodOptional<z.ZodString> => z.string().max(max).optional().meta({ description });
const listed = <T extends z.ZodType>(of: T, max: number, description: string): z.ZodOptional<z.ZodArray<T>> => z.array(of).max(max).optional().meta({ description, 'x-kubernetes-list-type': 'atomic' });

const amounts = (description: string): z.ZodOptional<z.ZodObject<{ flops: z.ZodOptional<z.ZodString>; gpuHours: z.ZodOptional<z.ZodString> }>> =>
  z.object({ flops: number('FLOPs, 6 N D.'), gpuHours: number('GPU-hours.') }).optional().meta({ description });

const estimate = z.object({
  name: z.string().min(1).max(32).meta({ description: 'Name of the parameter in the law.' }),
  value: z.string().max(32).meta({ description: 'Fitted value.' }),
  standardError: number('Its standard error.'),
  lower: number('Lower end of its 95 % interval.'),
  upper: number('Upper end of its 95 % interval.'),
}).meta({ description: 'A fitted parameter.' });

export const fitStatus = z.object({
  form: text(16, 'power, offset or joint.'),
  x: text(32, 'What the loss is a function of: parameters, tokens, flops or parametersAndTokens.'),
  parameters: listed(estimate, 8, 'Fitted parameters.'),
  r2: number('Share of the variance of the log loss that the law explains.'),
  objective: number('What the fit made small.'),
  points: whole('Points fitted.'),
  extrapolationError: number('Relative error of the loss at the largest X when those points are held out.'),
  warnings: listed(z.string().max(512), 16, 'Why the fit should be doubted.'),
}).meta({ description: 'A law fitted to the finished points.' });

export const predictionStatus = z.object({
  name: text(63, 'Name of the target, or its place in the list.'),
  form: text(16, 'Law that predicts.'),
  x: text(32, 'What that law is a function of.'),
  parameters: number('Parameters it is for, or that are needed.'), parametersLower: number('Lower end of the 95 % interval.'), parametersUpper: number('Upper end of it.'),
  tokens: number('Tokens it is for, or that are needed.'), tokensLower: number('Lower end of the 95 % interval.'), tokensUpper: number('Upper end of it.'),
  flops: number('FLOPs it is for, or that are needed.'), flopsLower: number('Lower end of the 95 % interval.'), flopsUpper: number('Upper end of it.'),
  loss: number('Validation loss predicted, or asked for.'), lower: number('Lower end of its 95 % interval.'), upper: number('Upper end of it.'),
  message: text(512, 'Why nothing can be said, or with what reserve.'),
}).meta({ description: 'What a law says of a target.' });

const optimumStatus = z.object({
  of: z.enum(['learningRate', 'batchTriplets']).meta({ description: 'What was chosen.' }),
  size: text(64, 'Size, as a preset\'s name or the parts of an architecture.'),
  parameters: number('Parameters, as spec.fit counts them.'),
  tokens: number('Corpus tokens of the budget.'),
  value: z.string().max(32).meta({ description: 'Value with the lowest loss.' }),
  lower: number('Lower end of its 95 % interval.'), upper: number('Upper end of it.'),
  loss: number('Validation loss there, by the polynomial.'),
  degree: whole('Of the polynomial in the logarithm: 4 for five learning rates and more, else 2.'),
  runs: whole('Finished points that it comes from.'),
  message: text(256, 'With what reserve, for example that the optimum is outside the values tried.'),
}).meta({ description: 'The best learning rate or batch at one size and budget.' });

const hyperLawStatus = z.object({
  of: z.enum(['learningRate', 'batchTriplets']).meta({ description: 'What the law gives.' }),
  coefficients: listed(estimate, 4, 'The coefficient, and the exponents by the names of their variables; parameters count in 2^20 and tokens in 2^30. Absent when there is no law.'),
  r2: number('Share of the variance of the logarithm that the law explains.'),
  points: whole('Optima that it was fitted to.'),
  message: text(256, 'What is left out, or why there is no law.'),
}).meta({ description: 'value = coefficient * parameters^a * tokens^b, fitted to the optima.' });

const failure = z.object({
  point: text(253, 'Point, as size/budget/learning rate/batch/seed.'),
  run: text(253, 'Name of the last PolarPretrain of the point.'),
  reason: text(64, 'Why it failed.'),
  message: text(512, 'What it said.'),
}).meta({ description: 'A point that failed for good.' });

export const sweepStatus = z.object({
  observedGeneration: z.int().min(0).optional().meta({ description: 'metadata.generation that conditions reflect.' }),
  conditions: z.array(condition.extend({ type: z.string().max(316).meta({ description: 'Accepted, Progressing, Stalled, Suspended, Fitted, Complete or Failed.' }) })).max(16).optional()
    .meta({ description: 'State of the sweep.', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] }),
  phase: z.enum(SWEEP_PHASES).optional().meta({ description: 'Summary of the conditions for people; decide on conditions.' }),
  done: text(32, 'Points that have ended over all points, for people.'),
  points: z.object({
    total: whole('Points of the axes.'), waiting: whole('Not started, or between two runs.'), running: whole('With a run that has not ended.'),
    succeeded: whole('Trained to the end.'), failed: whole('Failed for good.'), stopped: whole('Stopped early.'),
  }).optional().meta({ description: 'Points by state.' }),
  runs: z.object({ active: whole('Runs that have not ended and are not suspended, trunks included.'), started: whole('Runs that were ever started, trunks of cooldowns and retries included.'), retries: whole('Runs that followed a failed one of the same point.') }).optional().meta({ description: 'Runs of all points, also of points that are gone.' }),
  spent: amounts('Spent by all runs so far, also of points that are gone.'),
  reserved: amounts('Set aside for what running runs still have to do.'),
  startTime: time('When the first run was created.'),
  completionTime: time('When the sweep was last Complete or Failed.'),
  fits: listed(fitStatus, 12, 'Fitted laws.'),
  prediction: listed(predictionStatus, 64, 'What the laws say of spec.targets.'),
  optima: listed(optimumStatus, 20, 'Best learning rate and batch at each size and budget that was trained with at least three of them; of each the ten largest.'),
  hyperLaws: listed(hyperLawStatus, 2, 'How the best learning rate and batch depend on parameters and tokens.'),
  summary: z.object({ exponent: number('Exponent of the first law.'), r2: number('R2 of the first law.'), predicted: number('Prediction for the first target.') }).optional().meta({ description: 'Three numbers of fits and prediction for the table.' }),
  fittedRecords: text(64, 'Hash of the points and settings that fits, prediction, optima and hyperLaws were computed from.'),
  failures: listed(failure, 20, 'Points that failed for good, the first twenty.'),
  next: listed(z.string().max(253), 10, 'Points to come next, by strategy planned.'),
}).meta({ description: 'What was observed.' });

export type SweepStatus = z.infer<typeof sweepStatus>;
export type FitStatus = z.infer<typeof fitStatus>;
export type PredictionStatus = z.infer<typeof predictionStatus>;
export type OptimumStatus = z.infer<typeof optimumStatus>;
export type HyperLawStatus = z.infer<typeof hyperLawStatus>;
