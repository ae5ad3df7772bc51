// The optimizer as users set it, and as the trainer gets it: `auto` is resolved in between by the paper's laws.
import { z } from 'zod';
import { decimal, decimalOr, rule, rules } from './scalars.ts';

export const AUTO = 'auto';
const LARGEST_BATCH = 1_000_000;

const schedule = {
  schedule: z.enum(['cosine', 'constant', 'wsd']).default('cosine')
    .meta({ description: 'Learning rate after the warmup. cosine: falls to minLearningRatePercent over the whole run. constant: stays. wsd: stays, then falls by 1 - sqrt over the last cooldownPercent of the steps.' }),
  warmupPercent: z.int().min(0).max(100).default(3).meta({ description: 'Share of the steps, in percent, in which the learning rate rises linearly.' }),
  cooldownPercent: z.int().min(0).max(100).default(20).meta({ description: 'Share of the steps, in percent, in which the schedule wsd lets the learning rate fall at the end. A run with resumeFrom counts the steps of the run it continues, and begins its cooldown no earlier than there.' }),
  minLearningRatePercent: z.int().min(0).max(100).default(10).meta({ description: 'Learning rate at the end of the schedules cosine and wsd, in percent of the peak.' }),
};

const adam = {
  weightDecay: decimal('Weight decay on matrices; the paper uses 0.', 0, 1).default('0'),
  beta1: decimal('AdamW beta1.', 0, 0.9999).default('0.9'),
  beta2: decimal('AdamW beta2.', 0, 0.9999).default('0.95'),
  gradientClip: decimal('Largest global gradient norm; 0 turns clipping off.', 0, 1000).default('1'),
};

/** A rule of the spec, not of the optimizer: the API server checks the default of an object before it fills in its fields. */
export const fitsSchedule = rule("self.optimizer.schedule != 'wsd' || self.optimizer.warmupPercent + self.optimizer.cooldownPercent <= 100",
  'warmupPercent and cooldownPercent together must be at most 100', '.optimizer.cooldownPercent');

const RATE = 'Peak learning rate of AdamW, a decimal string such as "0.0003".';
const BATCH = 'Groups (reference, positive, negatives) per optimizer step, over all workers.';

/** Of a fine-tune: numbers. */
export const optimizer = z.object({
  learningRate: decimal(RATE, 0, 1).default('0.0003'),
  batchTriplets: z.int().min(1).max(LARGEST_BATCH).default(64).meta({ description: BATCH }),
  ...schedule, ...adam,
}).meta({ description: 'AdamW and its schedule (paper appendix D).' });

/** Of a pre-train: numbers, or `auto` for what the paper's laws say. */
export const pretrainOptimizer = z.object({
  learningRate: decimalOr(AUTO, `${RATE} auto: by the paper's law from the parameters, model.init.pretrainedTokens and budget.tokens; status.resolved shows the number.`, 0, 1).default('0.0003'),
  batchTriplets: z.union([z.int().min(1).max(LARGEST_BATCH), z.literal(AUTO)]).default(64).meta({
    description: `${BATCH} auto: by the paper's law from the parameters and budget.tokens; status.resolved shows the number.`,
    'x-kubernetes-int-or-string': true,
    ...rules(rule(`type(self) == int ? self >= 1 && self <= ${LARGEST_BATCH} : self == '${AUTO}'`, `must be a whole number between 1 and ${LARGEST_BATCH}, or auto`)),
  }),
  ...schedule, ...adam,
}).meta({ description: 'AdamW and its schedule (paper appendix D).' });

/** What the run config carries. */
export const resolvedOptimizer = z.strictObject({ learningRate: z.string(), batchTriplets: z.int().min(1), ...schedule, ...adam });
