// PolarFinetune: fine-tuning on ranked preference triplets (paper section 3.4, Eq. 8).
import { z } from 'zod';
import { budgetRules, checkpoint, dataEncoding, fitsPrompt, lifecycle, lifecycleRules, recovery, stepsOrEpochs, validation, workers } from './common.ts';
import { engine, exported } from './engine.ts';
import { fitsSchedule, optimizer } from './optimizer.ts';
import { decimal, immutable, objectName, rule, rules, storedUri, volumeUri } from './scalars.ts';
import { runStatus } from './status.ts';

const init = z.object({
  pretrainRef: z.object({ name: objectName('Name of the PolarPretrain in this namespace.') }).optional()
    .meta({ description: 'Start from a pre-train run\'s checkpoint; fine-tuning waits until that run is Complete.' }),
  checkpoint: z.enum(['best', 'latest']).default('best').meta({ description: 'Which checkpoint of pretrainRef: the one with the lowest validation loss, or the newest.' }),
  uri: storedUri('Where the weights and the tokenizer are: a checkpoint directory (step-...) or a Hugging Face folder (config.json, InternLM2 or Llama layout).').optional(),
}).meta({ description: 'The weights and tokenizer to start from.', ...rules(rule('has(self.pretrainRef) != has(self.uri)', 'exactly one of pretrainRef and uri must be given')) });

const data = z.object({
  uri: volumeUri('Ranked triplets: rows of prompt, reference, chosen and rejected as .jsonl, .jsonl.gz or .parquet, a file or a folder of files.'),
  wrapper: z.enum(['pretrain', 'sft']).default('sft').meta({ description: 'What joins prompt and trajectory: nothing (pretrain) or a newline (sft). A row\'s own wrapper column wins.' }),
  ...dataEncoding,
}).meta({
  description: 'The ranked triplets.',
  ...rules(fitsPrompt),
});

export const finetuneSpec = z.object({
  init, data,
  dropout: decimal('Dropout on embeddings and on attention and feed-forward outputs while training.', 0, 0.9).default('0'),
  budget: stepsOrEpochs.prefault({ epochs: 1 }),
  optimizer: optimizer.prefault({}),
  engine: engine.prefault({}),
  validation: validation.omit({ heldOutPolicies: true }).prefault({}).meta({ description: 'Held-out data. Validation loss is the Bradley-Terry loss on held-out prompts.' }),
  checkpoint, workers: workers.prefault({}),
  recovery: recovery.prefault({}),
  export: exported.prefault({}),
  seed: z.int().min(0).max(2_147_483_647).default(0).meta({ description: 'Seed of the split, the order of triplets and dropout.' }),
  ...lifecycle,
}).meta({
  description: 'What to fine-tune, on what, and how.',
  ...rules(
    ...['init', 'data', 'dropout', 'optimizer', 'validation', 'seed'].map(immutable), ...budgetRules('epochs'), ...lifecycleRules, fitsSchedule,
    rule('self.workers.replicas * (self.workers.gpusPerWorker > 0 ? self.workers.gpusPerWorker : 1) <= self.optimizer.batchTriplets',
      'optimizer.batchTriplets must be at least the number of training processes, workers.replicas * workers.gpusPerWorker'),
  ),
});

export const polarFinetune = z.object({ spec: finetuneSpec, status: runStatus.optional() });

export type FinetuneSpec = z.infer<typeof finetuneSpec>;
