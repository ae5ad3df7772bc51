// PolarSweep: a grid or plan of pre-training runs over sizes, tokens, learning rate, batch and seed, and the laws fitted to them (paper section 4.3, appendix D).
import { z } from 'zod';
import { architecture, lifecycle } from './common.ts';
import { AUTO } from './optimizer.ts';
import { pretrainSpec } from './pretrain.ts';
import { count, decimal, decimalOr, rule, rules } from './scalars.ts';
import { SIZE_NAMES } from './sizes.ts';
import { sweepStatus } from './sweepStatus.ts';

/** Points that one sweep may have. */
export const MAX_POINTS = 2000;
const MAX_VALUES = 64;

const { model, data, optimizer, engine, warmStart, validation, checkpoint, workers, recovery, export: exported, seed } = pretrainSpec.shape;

const given = (field: string): string => `has(self.${field})`;
const fixed = (field: string): Record<string, string> =>
  rule(`self.${field} == oldSelf.${field}`, `${field} cannot be changed after creation, or points would not be alike: create a new sweep instead`, `.${field}`);

const template = z.object({
  model: model.prefault({}), data, optimizer, engine, warmStart, validation, checkpoint, workers, recovery, export: exported, seed,
  queue: lifecycle.queue,
  ttlSecondsAfterFinished: z.int().min(0).max(2_147_483_647).optional()
    .meta({ description: 'A run of this sweep is deleted so many seconds after its end; what its point measured stays in the sweep\'s ConfigMaps. Absent: runs stay as long as the sweep.' }),
}).meta({
  description: 'Spec of the runs: that of a PolarPretrain without budget, resumeFrom, suspend and managedBy. Axes replace the fields they name. Later changes, for example of workers, hold for runs that are created afterwards.',
  ...rules(
    ...['model', 'data', 'optimizer', 'validation', 'seed'].map(fixed),
    rule('has(self.warmStart) == has(oldSelf.warmStart) && (!has(self.warmStart) || self.warmStart == oldSelf.warmStart)', 'warmStart cannot be changed after creation, or points would not be alike: create a new sweep instead', '.warmStart'),
    rule('self.checkpoint.store == oldSelf.checkpoint.store', 'checkpoint.store cannot be changed after creation: create a new sweep instead', '.checkpoint.store'),
  ),
});

const size = z.object({
  size: z.enum(SIZE_NAMES).optional().meta({ description: 'A preset backbone, named by its parameters outside the embedding.' }),
  architecture: architecture.optional(),
}).meta({ description: 'One size of the model.', ...rules(rule('has(self.size) != has(self.architecture)', 'exactly one of size and architecture must be given')) });

const listed = <T extends z.ZodType>(of: T, description: string): z.ZodOptional<z.ZodArray<T>> =>
  z.array(of).min(1).max(MAX_VALUES).optional().meta({ description, 'x-kubernetes-list-type': 'atomic' });

const AXES = ['sizes', 'tokens', 'steps', 'learningRates', 'batchTriplets', 'seeds'] as const;
const points = AXES.map((axis) => `(has(self.${axis}) ? size(self.${axis}) : 1)`).join(' * ');

const axes = z.object({
  sizes: listed(size, 'Sizes of the model; that of template.model when absent.'),
  tokens: listed(count('Corpus tokens to train on, for example "5M".'), 'Budgets in corpus tokens.'),
  steps: listed(z.int().min(1).max(100_000_000), 'Budgets in optimizer steps.'),
  learningRates: listed(decimalOr(AUTO, 'Peak learning rate, or auto.', 0, 1), 'Peak learning rates; that of template.optimizer when absent.'),
  batchTriplets: listed(z.int().min(1).max(1_000_000), 'Groups per optimizer step; that of template.optimizer when absent.'),
  seeds: listed(z.int().min(0).max(2_147_483_647), 'Seeds; that of the template when absent.'),
}).meta({
  description: 'The grid: one run for every combination. Values may be added and removed later: unfinished runs of points that are gone are deleted, finished ones stay but count no more.',
  ...rules(
    rule('has(self.tokens) != has(self.steps)', 'exactly one of tokens and steps must be given'),
    rule(`${points} <= ${MAX_POINTS}`, `the axes must have at most ${MAX_POINTS} combinations`),
  ),
});

const cooldowns = z.object({
  reuse: z.boolean().default(true).meta({ description: 'Train one run with a constant learning rate for each size, learning rate, batch and seed, and branch a short cooldown from its checkpoints for each budget.' }),
  percent: z.int().min(1).max(90).default(20).meta({ description: 'Share of a budget, in percent, in which the learning rate falls at the end.' }),
}).meta({ description: 'Runs use the schedule wsd, so that several budgets share one run up to their cooldowns. Absent: every point is trained on its own with template.optimizer.schedule.' });

const earlyStopping = z.object({
  keepPercent: z.int().min(1).max(99).default(50).meta({ description: 'Share, in percent, of the points that go on at each comparison; at least one does.' }),
  atPercent: z.array(z.int().min(1).max(99)).min(1).max(8).default([25, 50]).meta({ description: 'When points are compared, in percent of their budget.', 'x-kubernetes-list-type': 'set' }),
}).meta({ description: 'Successive halving among points that differ only in the learning rate: those with the higher validation loss save a checkpoint and stop. They are recorded as stopped and are not fitted. Absent: every point is trained to its end.' });

const budget = z.object({
  flops: decimal('Training FLOPs, for example "1e21": 6 N D of every run that was started, retries counted again, with N outside the embedding and D corpus tokens.', 0, 1e30).optional(),
  gpuHours: decimal('GPU-hours of all runs together, for example "250"; a worker without GPUs counts as one. Runs save a checkpoint and stop before it is exceeded, with template.recovery.saveTimeoutSeconds in reserve.', 0, 1e9).optional(),
}).meta({ description: 'What the sweep may spend; never exceeded: what a run will need is set aside before it starts. Absent: no bound.', ...rules(rule('has(self.flops) || has(self.gpuHours)', 'flops or gpuHours must be given')) });

const FORMS = ['power', 'offset', 'joint'] as const;

const fit = z.object({
  forms: z.array(z.enum(FORMS)).min(1).max(FORMS.length).default(['power']).meta({ description: 'Laws to fit. power: L = b X^a by least squares in log-log, the form of the paper. offset: L = E + b X^-a. joint: L = E + A N^-alpha + B D^-beta. The last two by Huber loss on log residuals.', 'x-kubernetes-list-type': 'set' }),
  parameters: z.enum(['withoutEmbedding', 'total']).default('withoutEmbedding').meta({ description: 'Which parameters N counts.' }),
  compute: z.enum(['naive', 'actual']).default('naive').meta({ description: 'What C is. naive: 6 N D. actual: what was computed, shared prefixes once.' }),
  huberDelta: decimal('Where the Huber loss of log residuals turns from square to linear.', 0.000001, 10).default('0.001'),
  bootstrap: z.int().min(0).max(10_000).default(1000).meta({ description: 'Resamples for the intervals of offset and joint; 0: none.' }),
  policies: z.enum(['seen', 'unseen']).default('seen').meta({ description: 'Whose validation loss is fitted: that of policies in training, or of held-out ones.' }),
}).meta({ description: 'The laws and how they are fitted.' });

const target = z.object({
  name: z.string().min(1).max(63).regex(/^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$/).optional().meta({ description: 'Name of the prediction in status.' }),
  parameters: count('Parameters, as fit.parameters counts them, for example "7B".').optional(),
  tokens: count('Corpus tokens, for example "3.6T".').optional(),
  loss: decimal('Validation loss to reach.', 0.000001, 100).optional(),
}).meta({ description: 'What to predict: the loss at parameters and tokens, or what is needed for a loss.', ...rules(
  rule('has(self.loss) ? !has(self.tokens) : has(self.parameters) || has(self.tokens)', 'give parameters or tokens to predict the loss, or loss, with parameters or alone, to predict what is needed')) });

const processes = 'self.template.workers.replicas * (self.template.workers.gpusPerWorker > 0 ? self.template.workers.gpusPerWorker : 1)';

export const sweepSpec = z.object({
  template, axes,
  strategy: z.enum(['grid', 'planned']).default('grid').meta({ description: 'grid: every point, smallest first. planned: next the points that shrink the variance of the first target\'s prediction most per FLOP, until precisionPercent is reached, the budget is spent or no point is left.' }),
  cooldowns: cooldowns.optional(),
  earlyStopping: earlyStopping.optional(),
  parallelism: z.int().min(1).max(1000).default(1).meta({ description: 'Runs at a time.' }),
  maxGpus: z.int().min(1).max(1_000_000).optional().meta({ description: 'GPUs at a time over all runs; a worker without GPUs counts as one. Absent: no bound.' }),
  budget: budget.optional(),
  maxRetries: z.int().min(0).max(100).default(1).meta({ description: 'New runs of a point after one that failed for good; then the point is recorded as failed.' }),
  fit: fit.prefault({}),
  targets: z.array(target).min(1).max(16).optional().meta({ description: 'What to predict from the fitted laws; planned works for the first.', 'x-kubernetes-list-type': 'atomic' }),
  precisionPercent: z.int().min(1).max(100).optional().meta({ description: 'planned ends when the 95 % interval of the first target lies within so many percent of its prediction. Absent: it goes on.' }),
  suspend: z.boolean().default(false).meta({ description: 'True: runs save a checkpoint and stop, and none is started. False: they go on.' }),
  ttlSecondsAfterFinished: z.int().min(0).max(2_147_483_647).optional()
    .meta({ description: 'This object is deleted, with its runs and records, so many seconds after it is Complete or Failed. Absent: it stays.' }),
}).meta({
  description: 'Which runs to make of what, how many at a time, and what to learn from them.',
  ...rules(
    rule(['axes.sizes', 'template.model.size', 'template.model.architecture'].map(given).join(' || '), 'one of axes.sizes, template.model.size and template.model.architecture must be given', '.axes.sizes'),
    rule(`!(${given('axes.sizes')} && ${given('template.model.init')})`, 'axes.sizes excludes template.model.init: weights have one size', '.axes.sizes'),
    rule(`self.strategy != 'planned' || (${given('targets')} && ${given('budget')})`, 'planned needs targets and budget: it buys the first target\'s precision with it', '.strategy'),
    rule(`${given('cooldowns')} == has(oldSelf.cooldowns) && (!${given('cooldowns')} || self.cooldowns == oldSelf.cooldowns)`, 'cooldowns cannot be changed after creation, or points would not be alike: create a new sweep instead', '.cooldowns'),
    rule("self.fit.policies != 'unseen' || self.template.validation.heldOutPolicies > 0", 'unseen needs template.validation.heldOutPolicies of at least 2', '.fit.policies'),
    rule(`!has(self.maxGpus) || self.maxGpus >= ${processes}`, 'maxGpus must be at least what one run takes, template.workers.replicas * gpusPerWorker', '.maxGpus'),
    rule("self.template.optimizer.schedule != 'wsd' || self.template.optimizer.warmupPercent + self.template.optimizer.cooldownPercent <= 100",
      'warmupPercent and cooldownPercent together must be at most 100', '.template.optimizer.cooldownPercent'),
  ),
});

export const polarSweep = z.object({ spec: sweepSpec, status: sweepStatus.optional() });

export type SweepSpec = z.infer<typeof sweepSpec>;
export type SweepTarget = z.infer<typeof target>;
