// The one document an attempt's trainer reads. Its JSON Schema is generated into the trainer and checked by its tests.
import { z } from 'zod';
import { architecture, validation } from './common.ts';
import { engine, exported } from './engine.ts';
import { resolvedOptimizer } from './optimizer.ts';
import { pretrainSpec } from './pretrain.ts';

const path = z.string().min(1).max(1024);
const checkpointPath = z.strictObject({ path, manifestSha256: z.string().optional() });

export const runConfig = z.strictObject({
  apiVersion: z.literal('polar.training/v1alpha1'),
  kind: z.enum(['PolarPretrain', 'PolarFinetune']),
  run: z.strictObject({ namespace: z.string(), name: z.string(), uid: z.string(), attempt: z.int().min(1) }),
  gang: z.strictObject({ workers: z.int().min(1), processesPerWorker: z.int().min(1), masterAddress: z.string(), masterPort: z.int() }),
  telemetry: z.strictObject({ address: z.string(), tokenPath: path, caPath: path, intervalSeconds: z.int().min(1) }).optional(),
  seed: z.int().min(0),
  model: z.strictObject({
    architecture: z.strictObject(architecture.shape).optional(),
    dropout: z.string(),
    tokenizer: z.strictObject({ vocabSize: z.int().optional(), path: path.optional() }).optional(),
    init: checkpointPath.optional(),
  }),
  data: z.strictObject({
    path,
    pairing: z.enum(['samePrompt', 'crossPrompt']).optional(),
    negativesPerPositive: z.int().min(1).optional(),
    wrapper: z.enum(['pretrain', 'sft']),
    maxLength: z.int(), maxResponseLength: z.int(),
    reference: z.enum(['include', 'omit']).optional(),
    responseCutSide: z.enum(['right', 'left']).optional(),
    emptyResponse: z.enum(['newline', 'omit']).optional(),
  }),
  budget: z.strictObject({ steps: z.int().min(1).optional(), tokens: z.int().min(1).optional(), epochs: z.int().min(1).optional() }),
  optimizer: resolvedOptimizer.extend({ cooldownPercent: z.int().optional() }),
  warmStart: z.strictObject({ policyClassification: z.strictObject(pretrainSpec.shape.warmStart.unwrap().shape.policyClassification.shape) }).optional(),
  validation: z.strictObject({ ...validation.shape, heldOutPolicies: z.int().min(0).optional() }),
  checkpoint: z.strictObject({
    directory: path, uri: z.string(),
    everySteps: z.int().min(1).optional(), everySeconds: z.int().min(1).optional(),
    /** Neither of the two: by Young and Daly from this. */
    meanSecondsBetweenFailures: z.int().min(1).optional(),
    keepLast: z.int().min(1), keepBest: z.int().min(0), keepSteps: z.array(z.int().min(0)).optional(), keepTokens: z.array(z.int().min(0)).optional(),
    /** An object store: directory is then a local folder of the pod. Credentials come from the environment. */
    s3: z.strictObject({ bucket: z.string(), prefix: z.string(), endpoint: z.string().optional(), region: z.string().optional() }).optional(),
  }),
  /** Start from the newest good checkpoint before that step. */
  resumeBeforeStep: z.int().min(1).optional(),
  engine: z.strictObject(engine.shape).partial().optional(),
  resumeFrom: checkpointPath.optional(),
  watch: z.strictObject({ hangTimeoutSeconds: z.int().min(0).optional(), hashEverySteps: z.int().min(0).optional() }).optional(),
  export: z.strictObject(exported.shape).partial().optional(),
});

export type RunConfig = z.infer<typeof runConfig>;
