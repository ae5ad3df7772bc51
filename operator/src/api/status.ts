// The status of a run. Two writers: reconciling owns conditions and attempts, ingest owns what trainers report.
import { z } from 'zod';
import { PHASES } from './reasons.ts';

const number = (description: string): z.ZodOptional<z.ZodString> => z.string().max(32).optional().meta({ description });
const whole = (description: string): z.ZodOptional<z.ZodInt> => z.int().min(0).optional().meta({ description });
const time = (description: string): z.ZodOptional<z.ZodString> => z.string().max(40).optional().meta({ description, format: 'date-time' });
const text = (max: number, description: string): z.ZodOptional<z.ZodString> => z.string().max(max).optional().meta({ description });

export const condition = z.object({
  type: z.string().max(316).meta({ description: 'Accepted, Admitted, PodsReady, Progressing, Stalled, Suspended, Complete or Failed.' }),
  status: z.enum(['True', 'False', 'Unknown']).meta({ description: 'Whether the condition holds.' }),
  reason: z.string().min(1).max(1024).meta({ description: 'Machine-readable reason in CamelCase.' }),
  message: z.string().max(32768).meta({ description: 'What happened and what can be done about it.' }),
  lastTransitionTime: z.string().max(40).meta({ description: 'When status last changed.', format: 'date-time' }),
  observedGeneration: z.int().min(0).optional().meta({ description: 'metadata.generation this was derived from.' }),
}).meta({ description: 'A condition as in every Kubernetes API.' });

export const checkpointRecord = z.object({
  step: z.int().min(0).meta({ description: 'Step at which it was saved.' }),
  uri: z.string().max(1024).meta({ description: 'Directory of the checkpoint.' }),
  manifestSha256: text(64, 'SHA-256 of its manifest.json, which has the hash of every file.'),
  valLoss: number('Validation loss at that step.'),
  tokens: whole('Corpus tokens seen until that step.'),
  completedTime: time('When it was complete on storage, by the trainer\'s clock.'),
}).meta({ description: 'A complete, immutable checkpoint.' });

export const curvePoint = z.object({
  step: z.int().min(0).meta({ description: 'Optimizer step.' }),
  tokens: whole('Corpus tokens seen.'),
  trainLoss: number('Bradley-Terry loss on the training batch.'),
  valLoss: number('Bradley-Terry loss on held-out prompts of seen policies.'),
  valAccuracy: number('Share of held-out pairs ranked right.'),
}).meta({ description: 'One point of the training curves.' });

const scoreFields = z.object({
  pairs: whole('Number of pairs scored.'),
  loss: number('Mean Bradley-Terry loss.'),
  lossStandardError: number('Standard error of the loss.'),
  accuracy: number('Share of pairs ranked right.'),
  accuracyLower: number('Lower end of the 95 % bootstrap interval over prompts.'),
  accuracyUpper: number('Upper end of the 95 % bootstrap interval over prompts.'),
});
const score = (description: string): z.ZodOptional<typeof scoreFields> => scoreFields.optional().meta({ description });

export const progress = z.object({
  attempt: whole('Attempt that reported last.'),
  seq: whole('Number of its last message that is in this status.'),
  stage: text(32, 'Starting, WarmStart, Training or Done.'),
  step: whole('Last step done; in the stage WarmStart a step of the warm start.'),
  totalSteps: whole('Steps of the stage.'),
  tokens: whole('Corpus tokens seen: each prompt and each trajectory counted once.'),
  computedTokens: whole('Tokens run through the model, repeats included.'),
  flops: number('Training FLOPs, 6 * parametersWithoutEmbedding * computedTokens.'),
  parameters: whole('Parameters of the model.'),
  parametersWithoutEmbedding: whole('Parameters outside the token embedding.'),
  trainLoss: number('Loss of the last batch; in the stage WarmStart that of policy classification.'),
  trainAccuracy: number('Share of pairs of the last batch ranked right; in the stage WarmStart of policies told right.'),
  valLoss: number('Last validation loss, on seen policies.'),
  valAccuracy: number('Last validation accuracy, on seen policies.'),
  tokensPerSecond: number('Corpus tokens per second over all workers.'),
  mfu: number('Model FLOP utilisation, 0 to 1: useful FLOPs (each token once, attention included, in the last layer only the reward tokens) over what the GPUs can do at most in 16 bits. Absent where that is not known, as on a CPU.'),
  dataWaitShare: number('Share of the last steps, 0 to 1, in which the trainer waited for data.'),
  stragglerRank: whole('A process whose own part of a step takes over 1.5 times as long as the others\'; absent when there is none.'),
  etaSeconds: whole('Seconds until the last step at the present rate.'),
  resumedFromStep: whole('Step this attempt started from.'),
  trainSeconds: number('Seconds of training that this step contains, over all attempts: steps that were lost and done again count once.'),
  lostSteps: whole('Steps done in vain: after the checkpoint an attempt was resumed from, summed over all attempts.'),
  saveSeconds: number('Seconds the last checkpoint stopped training.'),
  checkpointEverySeconds: number('Seconds between checkpoints as now used.'),
  source: z.enum(['Stream', 'LastWords']).optional().meta({ description: 'Stream: the trainer reported. LastWords: the attempt ended while no operator could be reached, and this is what its worker left behind; a short Job then reports the rest from the checkpoint store.' }),
  lastReportTime: time('When the operator last heard from the trainer.'),
}).meta({ description: 'What the trainer last reported.' });

export const runStatus = z.object({
  observedGeneration: z.int().min(0).optional().meta({ description: 'metadata.generation that conditions reflect.' }),
  conditions: z.array(condition).max(16).optional()
    .meta({ description: 'State of the run: Accepted, Admitted, PodsReady, Progressing, Stalled, Suspended, Complete, Failed.', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] }),
  phase: z.enum(PHASES).optional().meta({ description: 'Summary of the conditions for people; decide on conditions.' }),
  attempt: whole('Number of the current or last attempt; each is one Job.'),
  restarts: whole('Attempts that followed a crash; counted against recovery.maxRestarts.'),
  interruptions: whole('Attempts that followed an eviction, a preemption or a suspension; not counted.'),
  job: text(253, 'Name of the current attempt\'s Job, from its first pods on.'),
  workers: text(32, 'Ready workers of the attempt, as ready/wanted.'),
  startTime: time('When the first attempt was created.'),
  attemptStartTime: time('When the current attempt was created.'),
  completionTime: time('When the run completed or failed.'),
  checkpointDirectoryUri: text(1024, 'Directory that holds the checkpoints of this run.'),
  budget: z.object({ steps: whole('Steps.'), tokens: text(16, 'Tokens.'), epochs: whole('Epochs.') }).optional().meta({ description: 'spec.budget of the current or last attempt.' }),
  restartsByReason: z.array(z.object({ reason: z.string().min(1).max(64).meta({ description: 'Why the attempt before ended.' }), count: z.int().min(1).meta({ description: 'How often.' }) }))
    .max(32).optional().meta({ description: 'Attempts after the first by why the attempt before ended, interruptions included.', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['reason'] }),
  lastFailure: z.object({
    attempt: whole('Attempt that failed.'), reason: text(64, 'Why.'), message: text(2048, 'What the worker said.'), node: text(253, 'Node of that worker.'), time: time('When.'),
  }).optional().meta({ description: 'The last attempt that ended before its time.' }),
  failedNodes: z.array(z.object({ name: z.string().min(1).max(253).meta({ description: 'Name of the node.' }), failures: z.int().min(1).meta({ description: 'Attempts that failed on it.' }) }))
    .max(16).optional().meta({ description: 'Nodes on which attempts failed.', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['name'] }),
  resumeBeforeStep: whole('The attempt continues from a checkpoint before this step: the loss became NaN or infinite after a later one.'),
  stopRequest: z.object({
    attempt: whole('Attempt that is asked to stop.'), reason: text(64, 'Why: SuspendRequested, Evicted, BudgetRaised or Silent.'), time: time('Since when.'),
  }).optional().meta({ description: 'The workers are asked to save a checkpoint and stop.' }),
  effectiveTrainingTime: number('Share of the time since startTime, suspension and waiting for quota left out, 0 to 1, that went into steps which count.'),
  idleSeconds: whole('Seconds suspended or waiting for quota, up to the last change.'),
  idleSince: time('Since when the run is suspended or waits for quota; absent when it does neither.'),
  workload: text(253, 'Name of the Kueue Workload.'),
  clusterQueue: text(253, 'Kueue ClusterQueue that has admitted the run.'),
  protectedSteps: z.array(z.int().min(0)).max(64).optional().meta({ description: 'Steps of checkpoints that other objects refer to; they are not removed.', 'x-kubernetes-list-type': 'atomic' }),
  registry: z.array(z.object({
    task: z.enum(['report', 'verify', 'gc', 'delete']).meta({ description: 'report: tell what the operator missed. verify: check every hash. gc: remove what keepLast and keepBest no longer keep. delete: remove all checkpoints of a deleted run.' }),
    key: text(64, 'What asked for it: the same is not done twice.'),
    outcome: z.enum(['Succeeded', 'Failed']).meta({ description: 'How it ended.' }),
    message: text(2048, 'What it did or what was wrong.'),
    time: time('When it ended.'),
  })).max(8).optional().meta({ description: 'The last Job of each task that looked after the checkpoints while no worker ran.', 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['task'] }),
  startedFrom: checkpointRecord.optional().meta({ description: 'Checkpoint of init.pretrainRef or resumeFrom.pretrainRef that the first attempt started from; later attempts keep it, whatever becomes of that run.' }),
  resolved: z.object({
    learningRate: number('Peak learning rate of this run.'),
    batchTriplets: whole('Groups per optimizer step of this run.'),
    parameters: whole('N of the laws: number of parameters.'),
    parametersFrom: text(256, 'Which number of parameters that is.'),
  }).optional().meta({ description: 'What optimizer auto stands for, by the paper\'s laws (appendix D.1.2); absent when the spec gives numbers.' }),
  progress: progress.optional(),
  validation: z.object({
    step: whole('Step of this validation.'),
    seenPolicies: score('Held-out prompts, policies that are in training.'),
    unseenPolicies: score('Held-out prompts, held-out policies.'),
    styleBaseline: z.object({ seenAccuracy: number('On the pairs of seenPolicies.'), unseenAccuracy: number('On the pairs of unseenPolicies.') }).optional()
      .meta({ description: 'Accuracy of logistic regression on length, punctuation, markdown and word counts: what surface style alone reaches.' }),
  }).optional().meta({ description: 'The last validation in full.' }),
  checkpoints: z.object({
    latest: checkpointRecord.optional(), best: checkpointRecord.optional(),
    history: z.array(checkpointRecord).max(74).optional().meta({ description: 'Newest first: the last ten, and those that checkpoint.keepSteps and keepTokens list.', 'x-kubernetes-list-type': 'atomic' }),
  }).optional().meta({ description: 'Checkpoints on storage.' }),
  curve: z.array(curvePoint).max(200).optional().meta({ description: 'Training and validation curves, thinned to at most 200 points.', 'x-kubernetes-list-type': 'atomic' }),
}).meta({ description: 'What was observed.' });

export type RunStatus = z.infer<typeof runStatus>;
export type Condition = z.infer<typeof condition>;
export type CheckpointRecord = z.infer<typeof checkpointRecord>;
export type CurvePoint = z.infer<typeof curvePoint>;
export type Progress = z.infer<typeof progress>;
export type Score = z.infer<typeof scoreFields>;
