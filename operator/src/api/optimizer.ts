// The optimizer as users set it, and as the trainer gets it: `auto` is resolved in between by the paper's laws.
import { z } from 'zod';
import { decimal } from './scalars.ts';

const schedule = {
  schedule: z.enum(['cosine', 'constant', 'wsd']).default('cosine')
    .meta({ description: 'Learning rate after the warmup. cosine: falls to minLearningRatePercent over the whole run. constant: stays. wsd: stays and then falls by 1 - sqrt over the last cooldownPercent of the steps.' }),
  warmupPercent: z.int().min(0).max(100).default(3).meta({ description: 'Share of the steps, in percent, in which the learning rate rises linearly.' }),
  cooldownPercent: z.int().min(0).max(100).default(20).meta({ description: 'Share of the steps, in percent, in which the learning rate falls at the end. Only used by the schedule wsd.' }),
  minLearningRatePercent: z.int().min(0).max(100).default(10).meta({ description: 'Learning rate at the end of the schedules cosine and wsd, in percent of the peak.' }),
};

const adam = {
  weightDecay: decimal('Weight decay on matrices; the paper uses 0.', 0, 1).default('0'),
  beta1: decimal('AdamW beta1.', 0, 0.9999).default('0.9'),
  beta2: decimal('AdamW beta2.', 0, 0.9999).default('0.95'),
  gradientClip: decimal('Largest global gradient norm; 0 turns clipping off.', 0, 1000).default('1'),
};

const batchDescription = 'Groups (reference, positive, negatives) per optimizer step, over all workers.';

export const optimizer = z.object({
  learningRate: decimal('Peak learning rate of AdamW, a decimal string such as "0.0003".', 0, 1).default('0.0003'),
  batchTriplets: z.int().min(1).max(1_000_000).default(64).meta({ description: batchDescription }),
  ...schedule, ...adam,
}).meta({ description: 'AdamW and its schedule (paper appendix D).' });

/** What the run config carries: numbers only. */
export const resolvedOptimizer = z.strictObject({ learningRate: z.string(), batchTriplets: z.int().min(1), ...schedule, ...adam });
