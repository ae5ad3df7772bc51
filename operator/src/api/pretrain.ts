// PolarPretrain: contrastive pre-training on trajectories of many policies (paper sections 3.3 and 4.1).
import { z } from 'zod';
import { checkpoint, dataLimits, model, recovery, stepsOrTokens, validation, workers } from './common.ts';
import { optimizer } from './optimizer.ts';
import { decimal, immutable, rule, rules, volumeUri } from './scalars.ts';
import { runStatus } from './status.ts';

const data = z.object({
  uri: volumeUri('Trajectories: rows of prompt, policy and output as .jsonl, .jsonl.gz or .parquet, a file or a folder of files.'),
  pairing: z.enum(['samePrompt', 'crossPrompt']).default('samePrompt')
    .meta({ description: 'samePrompt: reference and candidates answer the same prompt (the paper; needs several samples per policy and prompt). crossPrompt: the reference answers another prompt.' }),
  negativesPerPositive: z.int().min(1).max(255).default(1).meta({ description: 'Candidates of other policies scored against each positive.' }),
  wrapper: z.enum(['pretrain', 'sft']).default('pretrain').meta({ description: 'What joins prompt and trajectory: nothing (pretrain) or a newline (sft). A row\'s own wrapper column wins.' }),
  ...dataLimits,
}).meta({
  description: 'The policy pool\'s trajectories and how pairs are made of them.',
  ...rules(rule('self.maxLength >= 2 * self.maxResponseLength + 8', 'maxLength must be at least 2 * maxResponseLength + 8, or no room is left for the prompt', '.maxLength')),
});

const warmStart = z.object({
  policyClassification: z.object({
    steps: z.int().min(1).max(1_000_000).meta({ description: 'Optimizer steps of the warm start.' }),
    batchTrajectories: z.int().min(1).max(1_000_000).default(64).meta({ description: 'Trajectories per step, over all workers; rounded up to two for every training process.' }),
    learningRate: decimal('Peak learning rate of the warm start.', 0, 1).default('0.001'),
  }).meta({ description: 'Before pre-training, train the backbone to tell which policy wrote a trajectory; the classification head is then dropped.' }),
}).meta({ description: 'Not part of the paper: helps small models off the plateau at loss 0.693. Off when absent.' });

export const pretrainSpec = z.object({
  model, data,
  budget: stepsOrTokens,
  optimizer: optimizer.prefault({}),
  warmStart: warmStart.optional(),
  validation: validation.prefault({}),
  checkpoint, workers: workers.prefault({}),
  recovery: recovery.prefault({}),
  seed: z.int().min(0).max(2_147_483_647).default(0).meta({ description: 'Seed of initial weights, splits, sampling and dropout.' }),
  suspend: z.boolean().default(false).meta({ description: 'True: save a checkpoint, remove the workers and wait. False: train, continuing from the newest checkpoint.' }),
}).meta({
  description: 'What to train, on what, and how.',
  ...rules(
    ...['model', 'data', 'budget', 'optimizer', 'validation', 'checkpoint', 'seed'].map(immutable),
    rule('has(self.warmStart) == has(oldSelf.warmStart) && (!has(self.warmStart) || self.warmStart == oldSelf.warmStart)',
      'warmStart cannot be changed after creation: create a new run instead', '.warmStart'),
    rule('self.workers.replicas * (self.workers.gpusPerWorker > 0 ? self.workers.gpusPerWorker : 1) <= self.optimizer.batchTriplets',
      'optimizer.batchTriplets must be at least the number of training processes, workers.replicas * workers.gpusPerWorker'),
  ),
});

export const polarPretrain = z.object({ spec: pretrainSpec, status: runStatus.optional() });

export type PretrainSpec = z.infer<typeof pretrainSpec>;
