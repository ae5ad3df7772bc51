// Parts of a spec that PolarPretrain and PolarFinetune share.
import { z } from 'zod';
import { count, decimal, objectName, quantity, rule, rules, storedUri, volumeUri } from './scalars.ts';
import { SIZE_NAMES } from './sizes.ts';

export const architecture = z.object({
  hiddenSize: z.int().min(8).max(16384).meta({ description: 'Width of the residual stream.' }),
  numLayers: z.int().min(1).max(256).meta({ description: 'Number of decoder layers.' }),
  numHeads: z.int().min(1).max(256).meta({ description: 'Number of attention heads; hiddenSize / numHeads must be a whole even number.' }),
  numKeyValueHeads: z.int().min(1).max(256).meta({ description: 'Number of key/value heads (grouped-query attention); divides numHeads.' }),
  intermediateSize: z.int().min(8).max(131072).meta({ description: 'Width of the SwiGLU feed-forward layer.' }),
  ropeTheta: z.int().min(1).max(1_000_000_000).default(10_000).meta({ description: 'Base of the rotary position embedding.' }),
}).meta({
  description: 'An InternLM2 / Llama family decoder given by its dimensions. The vocabulary comes from the tokenizer.',
  ...rules(
    rule('self.hiddenSize % (2 * self.numHeads) == 0', 'hiddenSize must be a multiple of 2 * numHeads (rotary embedding needs an even head size)'),
    rule('self.numHeads % self.numKeyValueHeads == 0', 'numHeads must be a multiple of numKeyValueHeads'),
  ),
});

export const tokenizer = z.object({
  uri: volumeUri('Folder with a Hugging Face tokenizer.json that has the tokens <|reward|> and [UNUSED_TOKEN_130].').optional(),
  vocabSize: z.int().min(300).max(1_000_000).optional()
    .meta({ description: 'Size of the byte-level BPE vocabulary trained on the corpus when uri is not given; 4096 when neither is.' }),
}).meta({
  description: 'Where the tokenizer comes from: a folder, or trained on the corpus.',
  ...rules(rule('!(has(self.uri) && has(self.vocabSize))', 'uri and vocabSize exclude each other: a given tokenizer has its size')),
});

const weights = z.object({
  uri: storedUri('Where the weights and the tokenizer are: a checkpoint directory (step-...) or a Hugging Face folder (config.json, InternLM2 or Llama layout).'),
  pretrainedTokens: count('Tokens these weights were pre-trained on, for example "2.5T"; optimizer auto needs it.').optional(),
  parameters: count('Parameters of these weights with the embedding, for example "1.8B"; optimizer auto needs it when neither model.size nor a tokenizer size is given.').optional(),
}).meta({ description: 'Start from weights. When absent the model starts from random weights.' });

export const model = z.object({
  size: z.enum(SIZE_NAMES).optional().meta({ description: 'A preset backbone, named by its parameters outside the embedding; 1.8B and 7B are the backbones of the paper under their own names. May be left out with init or resumeFrom, which bring their dimensions.' }),
  architecture: architecture.optional(),
  dropout: decimal('Dropout on embeddings and on attention and feed-forward outputs while training; the paper uses none.', 0, 0.9).default('0'),
  tokenizer: tokenizer.prefault({}),
  init: weights.optional(),
}).meta({
  description: 'The backbone that is trained, with a linear head on the reward token (paper section 4.1).',
  ...rules(rule('!(has(self.size) && has(self.architecture))', 'size and architecture exclude each other')),
});

export const validation = z.object({
  everySteps: z.int().min(1).max(1_000_000).default(100).meta({ description: 'Steps between validations; the last step is always validated.' }),
  pairs: z.int().min(10).max(100_000).default(2000).meta({ description: 'Largest number of fixed held-out pairs scored in a validation.' }),
  heldOutPromptPercent: z.int().min(1).max(90).default(10).meta({ description: 'Share of the prompts kept out of training; every validation pair uses only those.' }),
  heldOutPolicies: z.int().min(0).max(10_000).default(0).meta({ description: 'Number of policies kept out of training, scored as unseenPolicies; 0, or at least 2 since a pair needs two.',
    ...rules(rule('self != 1', 'must be 0 or at least 2: a pair needs two policies')) }),
}).meta({ description: 'Held-out data. Validation loss is the Bradley-Terry loss on held-out prompts, for seen and for unseen policies.' });

const s3Store = z.object({
  bucket: z.string().min(3).max(63).regex(/^[a-z0-9][a-z0-9.-]*[a-z0-9]$/).meta({ description: 'Name of the bucket.' }),
  prefix: z.string().max(512).regex(/^[A-Za-z0-9._=@+-]+(\/[A-Za-z0-9._=@+-]+)*$/).optional().meta({ description: 'Put before the names of all objects.' }),
  endpoint: z.string().max(512).regex(/^https?:\/\/[^\s]+$/).optional().meta({ description: 'URL of the service when it is not AWS.' }),
  region: z.string().min(1).max(64).regex(/^[a-z0-9-]+$/).optional().meta({ description: 'Region of the bucket.' }),
  credentialsSecretRef: z.object({ name: objectName('Name of the Secret.') }).optional()
    .meta({ description: 'Secret of this namespace with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN when needed. Absent: what the environment of the pods gives (workload identity).' }),
}).meta({ description: 'A bucket of an S3-compatible object store.' });

export const checkpointStore = z.object({
  pvc: objectName('PersistentVolumeClaim for checkpoints; more than one worker needs ReadWriteMany.').optional(),
  s3: s3Store.optional(),
}).meta({ description: 'Where checkpoints are written.', ...rules(rule('has(self.pvc) != has(self.s3)', 'exactly one of pvc and s3 must be given')) });

export const checkpoint = z.object({
  store: checkpointStore,
  everySteps: z.int().min(1).max(1_000_000).optional().meta({ description: 'Steps between checkpoints, instead of everyMinutes; the last step is always saved.' }),
  everyMinutes: z.union([z.int().min(1).max(1440), z.literal('auto')]).optional().meta({
    description: 'Minutes between checkpoints; the last step is always saved. auto, which holds when neither this nor everySteps is given: by Young and Daly from the time a save takes and the mean time between failures.',
    'x-kubernetes-int-or-string': true,
    ...rules(rule("type(self) == int ? self >= 1 && self <= 1440 : self == 'auto'", 'must be a whole number between 1 and 1440, or auto')),
  }),
  keepLast: z.int().min(1).max(100).default(3).meta({ description: 'Number of newest checkpoints to keep.' }),
  keepBest: z.int().min(0).max(100).default(1).meta({ description: 'Number of best checkpoints by validation loss to keep as well.' }),
  keepSteps: z.array(z.int().min(1).max(100_000_000)).max(64).optional().meta({
    description: 'Steps after which a checkpoint is saved, beside those of everySteps or everyMinutes, and stays for as long as it is listed: branch points of cooldowns. A step that is listed when it is over already is not made up for.',
    'x-kubernetes-list-type': 'atomic',
  }),
  keepTokens: z.array(count('Corpus tokens.')).max(64).optional().meta({
    description: 'The same by corpus tokens: after the first step that reaches each of these numbers a checkpoint is saved, which stays. status.checkpoints.history says which step that was.',
    'x-kubernetes-list-type': 'atomic',
  }),
  deletionPolicy: z.enum(['Retain', 'Delete']).default('Retain').meta({ description: 'What becomes of the checkpoints when this object is deleted. Retain: they stay. Delete: a short Job removes them first.' }),
}).meta({ description: 'Immutable checkpoint directories with verified manifests.',
  ...rules(rule('!(has(self.everySteps) && has(self.everyMinutes))', 'everySteps and everyMinutes exclude each other')) });

const toleration = z.object({
  key: z.string().max(317).optional().meta({ description: 'Key of the taint; all keys when absent and operator is Exists.' }),
  operator: z.enum(['Exists', 'Equal']).optional().meta({ description: 'How key and value are compared; Equal when absent.' }),
  value: z.string().max(63).optional().meta({ description: 'Value of the taint for Equal.' }),
  effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional().meta({ description: 'Effect of the taint; all effects when absent.' }),
  tolerationSeconds: z.int().min(0).max(1_000_000_000).optional().meta({ description: 'How long a NoExecute taint is tolerated.' }),
}).meta({ description: 'As in a pod.' });

export const podTemplate = z.object({
  labels: z.record(z.string().max(317), z.string().max(63)).optional().meta({ description: 'Labels added to the pods; keys of polar.training and kubernetes.io are refused.', maxProperties: 32,
    ...rules(rule("self.all(k, !k.contains('polar.training/') && !k.contains('kubernetes.io/'))", 'keys under polar.training/ and kubernetes.io/ belong to the system')) }),
  annotations: z.record(z.string().max(317), z.string().max(1024)).optional().meta({ description: 'Annotations added to the pods.', maxProperties: 32 }),
  nodeSelector: z.record(z.string().max(317), z.string().max(63)).optional().meta({ description: 'Labels a node must have.', maxProperties: 32 }),
  tolerations: z.array(toleration).max(32).optional().meta({ description: 'Tolerations of the pods.', 'x-kubernetes-list-type': 'atomic' }),
  priorityClassName: objectName('PriorityClass of the pods.').optional(),
  schedulerName: objectName('Scheduler of the pods; the default scheduler when absent.').optional(),
  imagePullSecrets: z.array(z.object({ name: objectName('Name of the Secret.') })).max(8).optional()
    .meta({ description: 'Secrets for pulling the image.', 'x-kubernetes-list-type': 'atomic' }),
}).meta({ description: 'The part of a pod template a run may set. Security context, service account, volumes and commands are the operator\'s.' });

const resourceList = (description: string): z.ZodOptional<z.ZodRecord<z.ZodString, typeof quantity>> =>
  z.record(z.string().max(317), quantity).optional().meta({ description, maxProperties: 16 });

export const workers = z.object({
  replicas: z.int().min(1).max(4096).default(1).meta({ description: 'Number of worker pods of the gang; all run or none.' }),
  gpusPerWorker: z.int().min(0).max(64).default(0).meta({ description: 'nvidia.com/gpu per worker, and training processes per worker; 0 trains on CPU with one process.' }),
  image: z.string().min(1).max(512).regex(/^[^\s]+$/).optional().meta({ description: 'Trainer image; the operator\'s default when absent.' }),
  imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']).optional().meta({ description: 'As in a pod.' }),
  resources: z.object({
    requests: resourceList('Smallest amounts of each resource, as in a pod.'),
    limits: resourceList('Largest amounts of each resource, as in a pod.'),
  }).optional().meta({ description: 'Resources of each worker\'s container.' }),
  terminationGracePeriodSeconds: z.int().min(5).max(7200).default(120)
    .meta({ description: 'Time a worker has after SIGTERM to save a checkpoint; at least twice the time a save takes.' }),
  podGroup: z.enum(['none', 'volcano', 'coscheduling']).default('none')
    .meta({ description: 'A PodGroup for a gang scheduler. none: the default scheduler, or Kueue with queue. volcano: scheduling.volcano.sh. coscheduling: scheduling.x-k8s.io. podTemplate.schedulerName names the scheduler; volcano when absent with podGroup volcano.' }),
  topology: z.object({
    mode: z.enum(['required', 'preferred']).default('preferred').meta({ description: 'Whether workers wait when they do not fit into one domain.' }),
    level: z.string().min(1).max(317).regex(/^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9])?$/).meta({ description: 'Label of nodes that names the domain, for example topology.kubernetes.io/zone or a rack label.' }),
  }).optional().meta({ description: 'Workers close to each other: within one domain of that level. With queue it is Kueue\'s topology request, otherwise a pod affinity.' }),
  podTemplate: podTemplate.optional(),
}).meta({ description: 'The gang of trainer pods.' });

export const queue = z.object({
  name: objectName('Name of the Kueue LocalQueue in this namespace.'),
  priorityClassName: objectName('Name of a Kueue WorkloadPriorityClass.').optional(),
  evictionGraceSeconds: z.int().min(0).max(86_400).default(600)
    .meta({ description: 'How long evicted workers may take to save a checkpoint before they are removed and the quota is given back.' }),
}).meta({ description: 'Wait for quota of Kueue before any worker is created. Absent: start at once.' });

/** Fields of the life of a run, apart from what it trains. */
export const lifecycle = {
  queue: queue.optional(),
  suspend: z.boolean().default(false).meta({ description: 'True: save a checkpoint, remove the workers and wait. False: train, continuing from the newest checkpoint.' }),
  ttlSecondsAfterFinished: z.int().min(0).max(2_147_483_647).optional()
    .meta({ description: 'This object is deleted so many seconds after the run is Complete or Failed, once no unfinished run waits for it. Its checkpoints follow checkpoint.deletionPolicy. Absent: it stays.' }),
  managedBy: z.enum(['polar.training/operator', 'kueue.x-k8s.io/multikueue']).default('polar.training/operator')
    .meta({ description: 'Who runs this object. kueue.x-k8s.io/multikueue: a copy of it on another cluster does, and this operator leaves it alone.' }),
};

export const recovery = z.object({
  maxRestarts: z.int().min(0).max(1000).default(10).meta({ description: 'Attempts after the first that may follow a crash. Evictions and preemptions are not counted.' }),
  hangTimeoutSeconds: z.int().min(0).max(604_800).default(0)
    .meta({ description: 'Time without a finished step, in seconds, after which the workers are taken to hang: their stacks are printed and the attempt ends, counted as a crash. 0: ten times the median step, at least 120 seconds.' }),
  hashEverySteps: z.int().min(0).max(1_000_000).default(100)
    .meta({ description: 'Steps between comparisons of a hash of the weights over all workers, which finds hardware that computes wrongly; 0 compares nothing.' }),
  silenceTimeoutSeconds: z.int().min(0).max(604_800).default(3600)
    .meta({ description: 'Time without any report of the trainer, while the operator could have received one, after which the attempt is asked to save and stop and is then replaced, counted as a crash. 0: never.' }),
  saveTimeoutSeconds: z.int().min(1).max(86_400).default(600)
    .meta({ description: 'How long workers may take to save a checkpoint when the operator asks them to stop (suspend, a raised budget); afterwards their Job is deleted, which leaves them workers.terminationGracePeriodSeconds.' }),
  avoidNodeAfterFailures: z.int().min(0).max(100).default(2)
    .meta({ description: 'A node on which so many attempts of this run failed is avoided by later attempts as far as others fit. 0: none is avoided.' }),
  startDeadlineSeconds: z.int().min(1).max(604_800).default(1800)
    .meta({ description: 'The run fails when an attempt\'s workers have not all started (scheduling, image, quota) after this time.' }),
}).meta({ description: 'What happens when an attempt ends or does not start.' });

export const stepsOrTokens = z.object({
  steps: z.int().min(1).max(100_000_000).optional().meta({ description: 'Number of optimizer steps.' }),
  tokens: count('Corpus tokens to train on, for example "0.94T" or "5M": each prompt and each trajectory counted once.').optional(),
}).meta({ description: 'When training ends.', ...rules(rule('has(self.steps) != has(self.tokens)', 'exactly one of steps and tokens must be given')) });

export const stepsOrEpochs = z.object({
  steps: z.int().min(1).max(100_000_000).optional().meta({ description: 'Number of optimizer steps.' }),
  epochs: z.int().min(1).max(1000).optional().meta({ description: 'Passes over the training triplets; the paper trains one.' }),
}).meta({ description: 'When training ends.', ...rules(rule('has(self.steps) != has(self.epochs)', 'exactly one of steps and epochs must be given')) });

const celCount = (path: string): string =>
  `double(${path}.find('^[0-9.]+')) * (${path}.endsWith('K') ? 1e3 : ${path}.endsWith('M') ? 1e6 : ${path}.endsWith('B') ? 1e9 : ${path}.endsWith('T') ? 1e12 : 1.0)`;

const onlyRaised = (unit: string, value: (path: string) => string): Record<string, string> => {
  const [now, before] = [`self.budget.${unit}`, `oldSelf.budget.${unit}`];
  return rule(`!has(${before}) || (has(${now}) && ${value(now)} >= ${value(before)})`, 'budget may be raised, also of a run that is complete, but not lowered or given in another unit: create a new run instead', '.budget');
};

/** A budget may grow: the run then goes on where it stopped. */
export const budgetRules = (unit: 'tokens' | 'epochs'): readonly Record<string, string>[] => [
  onlyRaised('steps', (path) => path), onlyRaised(unit, unit === 'tokens' ? celCount : (path) => path),
];

const IMMUTABLE_LATER = 'cannot be changed after creation: create a new run instead';

/** Which parts of checkpoint, queue and managedBy keep their first value. */
export const lifecycleRules: readonly Record<string, string>[] = [
  rule('self.checkpoint.store == oldSelf.checkpoint.store', `checkpoint.store ${IMMUTABLE_LATER}`, '.checkpoint.store'),
  rule('self.managedBy == oldSelf.managedBy', `managedBy ${IMMUTABLE_LATER}`, '.managedBy'),
  rule('oldSelf.suspend || (has(self.queue) == has(oldSelf.queue) && (!has(self.queue) || self.queue.name == oldSelf.queue.name))',
    'queue.name can be changed only while the run is suspended', '.queue'),
];

export const dataEncoding = {
  maxLength: z.int().min(16).max(1_048_576).default(16384).meta({ description: 'Longest sequence in tokens: prompt, reference, prompt, candidate and special tokens. The prompt keeps its end.' }),
  maxResponseLength: z.int().min(4).max(1_048_576).default(4096).meta({ description: 'Longest reference and longest candidate in tokens, one of them the start token; longer ones are cut at responseCutSide.' }),
  reference: z.enum(['include', 'omit']).default('include').meta({ description: 'Whether a sequence holds prompt and reference before prompt and candidate. omit is for a fine-tune, the ablation of the paper (w/o PT&Ref): a reward model without a reference. A pre-train with omit stays at loss 0.693: which candidate is the positive depends on the reference alone.' }),
  responseCutSide: z.enum(['right', 'left']).default('right').meta({ description: 'Which end of a response longer than maxResponseLength is dropped. right: the beginning is kept, as POLAR\'s client and training do. left: the end is kept, as XTuner\'s client does.' }),
  emptyResponse: z.enum(['newline', 'omit']).default('newline').meta({ description: 'What joins prompt and an empty response with wrapper sft: newline as POLAR\'s released client has it, or nothing (omit) as its training code.' }),
};

export const fitsPrompt = rule("self.maxLength >= (self.reference == 'omit' ? 1 : 2) * self.maxResponseLength + 8",
  'maxLength must be at least 2 * maxResponseLength + 8 (once maxResponseLength when reference is omit), or no room is left for the prompt', '.maxLength');
