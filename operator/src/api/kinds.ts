// The resources this operator serves, as the API server and the clients need to know them.
import type { z } from 'zod';
import { polarFinetune } from './finetune.ts';
import { polarPretrain } from './pretrain.ts';
import { rule } from './scalars.ts';
import { polarSweep } from './sweep.ts';

export interface PrinterColumn { readonly name: string; readonly type: string; readonly jsonPath: string; readonly description?: string; readonly priority?: number }

export interface Kind {
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
  readonly description: string;
  readonly schema: z.ZodObject;
  readonly columns: readonly PrinterColumn[];
  /** CEL rules of the whole object: the only ones that see its name. */
  readonly rules: readonly Record<string, string>[];
}

const column = (name: string, jsonPath: string, type = 'string', priority = 0): PrinterColumn => ({ name, type, jsonPath, ...(priority > 0 ? { priority } : {}) });

const runColumns: readonly PrinterColumn[] = [
  column('Phase', '.status.phase'),
  column('Step', '.status.progress.step', 'integer'),
  column('Total', '.status.progress.totalSteps', 'integer'),
  column('Val-Loss', '.status.progress.valLoss'),
  column('Val-Acc', '.status.progress.valAccuracy'),
  column('Best', '.status.checkpoints.best.valLoss'),
  column('Tokens/s', '.status.progress.tokensPerSecond'),
  column('ETA', '.status.progress.etaSeconds', 'integer'),
  column('Restarts', '.status.restarts', 'integer'),
  column('Age', '.metadata.creationTimestamp', 'date'),
  column('Stage', '.status.progress.stage', 'string', 1),
  column('Attempt', '.status.attempt', 'integer', 1),
  column('Workers', '.status.workers', 'string', 1),
  column('Reason', '.status.conditions[?(@.type=="Stalled")].reason', 'string', 1),
  column('Checkpoint', '.status.checkpoints.latest.uri', 'string', 1),
];

export const POLAR_PRETRAIN: Kind = {
  kind: 'PolarPretrain', plural: 'polarpretrains', singular: 'polarpretrain', shortName: 'ppre',
  description: 'PolarPretrain pre-trains a POLAR reward model: a policy discriminator trained contrastively on trajectories of many policies (arXiv 2507.05197).',
  schema: polarPretrain, columns: runColumns,
  rules: [rule('!has(self.spec.resumeFrom) || !has(self.spec.resumeFrom.pretrainRef) || self.spec.resumeFrom.pretrainRef.name != self.metadata.name',
    'must name another run: a run would wait for itself', '.spec.resumeFrom.pretrainRef.name')],
};

export const POLAR_FINETUNE: Kind = {
  kind: 'PolarFinetune', plural: 'polarfinetunes', singular: 'polarfinetune', shortName: 'pft',
  description: 'PolarFinetune fine-tunes a POLAR reward model on ranked preference triplets, starting from a pre-train run or a checkpoint.',
  schema: polarFinetune, columns: runColumns, rules: [],
};

export const POLAR_SWEEP: Kind = {
  kind: 'PolarSweep', plural: 'polarsweeps', singular: 'polarsweep', shortName: 'psweep',
  description: 'PolarSweep makes PolarPretrain runs over sizes, tokens, learning rates, batches and seeds, fits scaling laws to their validation losses and predicts larger runs.',
  schema: polarSweep, rules: [],
  columns: [
    column('Phase', '.status.phase'),
    column('Done', '.status.done'),
    column('Running', '.status.runs.active', 'integer'),
    column('Failed', '.status.points.failed', 'integer'),
    column('Exponent', '.status.summary.exponent'),
    column('R2', '.status.summary.r2'),
    column('Predicted', '.status.summary.predicted'),
    column('Age', '.metadata.creationTimestamp', 'date'),
    column('Stopped', '.status.points.stopped', 'integer', 1),
    column('Flops', '.status.spent.flops', 'string', 1),
    column('GPU-Hours', '.status.spent.gpuHours', 'string', 1),
    column('Reason', '.status.conditions[?(@.type=="Progressing")].reason', 'string', 1),
  ],
};

export const KINDS: readonly Kind[] = [POLAR_PRETRAIN, POLAR_FINETUNE, POLAR_SWEEP];
