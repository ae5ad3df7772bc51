// PolarPretrain: contrastive pre-training on trajectories of many policies (paper sections 3.3 and 4.1).
import { z } from 'zod';
import { budgetRules, checkpoint, dataEncoding, fitsPrompt, lifecycle, lifecycleRules, model, recovery, stepsOrTokens, validation, workers } from './common.ts';
import { engine, exported } from './engine.ts';
import { AUTO, fitsSchedule, pretrainOptimizer } from './optimizer.ts';
import { decimal, immutable, objectName, rule, rules, storedUri, volumeUri } from './scalars.ts';
import { runStatus } from './status.ts';

const data = z.object({
  uri: volumeUri('Trajectories: rows of prompt, policy and output as .jsonl, .jsonl.gz or .parquet, a file or a folder of files.'),
  pairing: z.enum(['samePrompt', 'crossPrompt']).default('samePrompt')
    .meta({ description: 'samePrompt: reference and candidates answer the same prompt (the paper; needs several samples per policy and prompt). crossPrompt: the reference answers another prompt.' }),
  negativesPerPositive: z.int().min(1).max(255).default(1).meta({ description: 'Candidates of other policies scored against each positive.' }),
  wrapper: z.enum(['pretrain', 'sft']).default('pretrain').meta({ description: 'What joins prompt and trajectory: nothing (pretrain) or a newline (sft). A row\'s own wrapper column wins.' }),
  ...dataEncoding,
}).meta({
  description: 'The policy pool\'s trajectories and how pairs are made of them.',
  ...rules(fitsPrompt),
});

const warmStart = z.object({
  policyClassification: z.object({
    steps: z.int().min(1).max(1_000_000).meta({ description: 'Optimizer steps of the warm start.' }),
    batchTrajectories: z.int().min(1).max(1_000_000).default(64).meta({ description: 'Trajectories per step, over all workers; rounded up to two for every training process.' }),
    learningRate: decimal('Peak learning rate of the warm start.', 0, 1).default('0.001'),
  }).meta({ description: 'Before pre-training, train the backbone to tell which policy wrote a trajectory; the classification head is then dropped.' }),
}).meta({ description: 'Not part of the paper: helps small models off the plateau at loss 0.693. Off when absent.' });

const resumeFrom = z.object({
  pretrainRef: z.object({ name: objectName('Name of the PolarPretrain in this namespace.') }).optional()
    .meta({ description: 'Continue a checkpoint of another run, which had the same model and data; this run waits until that one is Complete.' }),
  step: z.int().min(1).max(100_000_000).optional().meta({ description: 'Step of the checkpoint of pretrainRef; its newest one when absent. That run keeps those of its checkpoint.keepSteps and keepTokens, and as many others as keepLast and keepBest say.' }),
  uri: storedUri('Checkpoint directory (step-...) of another run with the same model and data.').optional(),
}).meta({
  description: 'Continue another run from one of its checkpoints: weights, optimizer, place in the data and step. budget counts from the beginning of that run. Cooldowns are branched from a long run with a constant learning rate this way.',
  ...rules(
    rule('has(self.pretrainRef) != has(self.uri)', 'exactly one of pretrainRef and uri must be given'),
    rule('!has(self.step) || has(self.pretrainRef)', 'step goes with pretrainRef: a uri names its step', '.step'),
  ),
});

const given = (field: string): string => `has(self.${field})`;
const isAuto = `(self.optimizer.learningRate == '${AUTO}' || (type(self.optimizer.batchTriplets) == string && self.optimizer.batchTriplets == '${AUTO}'))`;
const optionalImmutable = (field: string): Record<string, string> =>
  rule(`has(self.${field}) == has(oldSelf.${field}) && (!has(self.${field}) || self.${field} == oldSelf.${field})`,
    `${field} cannot be changed after creation: create a new run instead`, `.${field}`);

const lawRules = [
  rule(`!${isAuto} || !${given('resumeFrom')}`, 'auto is refused with resumeFrom: give the numbers of the run it continues, which are in its status.resolved', '.optimizer'),
  rule(`!${isAuto} || ${given('resumeFrom')} || ${given('model.init')}`, 'auto is refused for random weights: the paper\'s laws hold for models that were pre-trained (model.init); give optimizer.learningRate and optimizer.batchTriplets as numbers', '.optimizer'),
  rule(`!${isAuto} || !has(self.model.init) || ${given('model.init.pretrainedTokens')}`, 'auto needs model.init.pretrainedTokens, the tokens the weights were pre-trained on', '.optimizer'),
  rule(`!${isAuto} || ${given('budget.tokens')}`, 'auto needs budget.tokens, the tokens of this run', '.optimizer'),
  rule(`!${isAuto} || !has(self.model.init) || ${['model.size', 'model.init.parameters', 'model.tokenizer.vocabSize'].map(given).join(' || ')}`,
    'auto needs the number of parameters: give model.size, or model.init.parameters, or model.architecture with model.tokenizer.vocabSize', '.optimizer'),
];

export const pretrainSpec = z.object({
  model, data,
  budget: stepsOrTokens,
  optimizer: pretrainOptimizer.prefault({}),
  engine: engine.prefault({}),
  resumeFrom: resumeFrom.optional(),
  warmStart: warmStart.optional(),
  validation: validation.prefault({}),
  checkpoint, workers: workers.prefault({}),
  recovery: recovery.prefault({}),
  export: exported.prefault({}),
  seed: z.int().min(0).max(2_147_483_647).default(0).meta({ description: 'Seed of initial weights, splits, sampling and dropout.' }),
  ...lifecycle,
}).meta({
  description: 'What to train, on what, and how.',
  ...rules(
    ...['model', 'data', 'optimizer', 'validation', 'seed'].map(immutable), ...budgetRules('tokens'), ...lifecycleRules,
    optionalImmutable('warmStart'), optionalImmutable('resumeFrom'),
    rule(['model.size', 'model.architecture', 'model.init', 'resumeFrom'].map(given).join(' || '), 'one of model.size, model.architecture, model.init and resumeFrom must be given: they bring the dimensions of the model', '.model'),
    rule('!(has(self.resumeFrom) && (has(self.model.init) || has(self.warmStart)))', 'resumeFrom excludes model.init and warmStart: it continues weights that are trained already', '.resumeFrom'),
    ...lawRules, fitsSchedule,
    rule('type(self.optimizer.batchTriplets) != int || self.workers.replicas * (self.workers.gpusPerWorker > 0 ? self.workers.gpusPerWorker : 1) <= int(self.optimizer.batchTriplets)',
      'optimizer.batchTriplets must be at least the number of training processes, workers.replicas * workers.gpusPerWorker'),
  ),
});

export const polarPretrain = z.object({ spec: pretrainSpec, status: runStatus.optional() });

export type PretrainSpec = z.infer<typeof pretrainSpec>;
