// Manifests the API server must refuse, each with the field its message must name. Every row changes one thing in a
// manifest that is accepted.

export interface BadManifest {
  /** What the user did wrong. */
  readonly name: string;
  readonly kind: 'PolarPretrain' | 'PolarFinetune';
  /** Path to change, dots between keys. */
  readonly path: string;
  /** New value; undefined removes the field. */
  readonly value: unknown;
  /** Text the refusal must hold: the field, and what was expected. */
  readonly want: readonly string[];
}

export const GOOD_PRETRAIN = {
  apiVersion: 'polar.training/v1alpha1', kind: 'PolarPretrain', metadata: { name: 'good' },
  spec: {
    model: { size: '1M' }, data: { uri: 'pvc://data/toy/trajectories.jsonl.gz' }, budget: { steps: 100 },
    checkpoint: { store: { pvc: 'runs' } },
  },
};

export const GOOD_FINETUNE = {
  apiVersion: 'polar.training/v1alpha1', kind: 'PolarFinetune', metadata: { name: 'good' },
  spec: {
    init: { pretrainRef: { name: 'base' } }, data: { uri: 'pvc://data/toy/preferences.jsonl.gz' },
    checkpoint: { store: { pvc: 'runs' } },
  },
};

const pretrain = (name: string, path: string, value: unknown, ...want: string[]): BadManifest => ({ name, kind: 'PolarPretrain', path, value, want });
const finetune = (name: string, path: string, value: unknown, ...want: string[]): BadManifest => ({ name, kind: 'PolarFinetune', path, value, want });

const WIDTHS = { hiddenSize: 96, numLayers: 2, numHeads: 4, numKeyValueHeads: 2, intermediateSize: 256 };

/** A spec whose optimizer is by the paper's laws, with one thing changed in its model. */
const byLaw = (model: object = {}): object => ({
  ...GOOD_PRETRAIN.spec, model: { size: '1.8B', init: { uri: 'pvc://w/x', pretrainedTokens: '2.5T' }, ...model }, budget: { tokens: '0.94T' }, optimizer: { learningRate: 'auto', batchTriplets: 'auto' },
});

export const BY_LAW = { ...GOOD_PRETRAIN, spec: byLaw() };

export const BAD_MANIFESTS: readonly BadManifest[] = [
  // metadata
  pretrain('a name with a dot', 'metadata.name', 'polar.v1', 'metadata.name', 'lower-case letters'),
  pretrain('a name that starts with a digit', 'metadata.name', '7b-run', 'metadata.name', 'start with a letter'),
  pretrain('a name over 63 characters', 'metadata.name', 'a'.repeat(64), 'metadata.name', '63'),
  finetune('a name with a dot', 'metadata.name', 'rm.v2', 'metadata.name', 'lower-case letters'),
  // required fields
  pretrain('no spec', 'spec', undefined, 'spec', 'Required'),
  pretrain('no model', 'spec.model', undefined, 'spec.model', 'Required'),
  pretrain('no data', 'spec.data', undefined, 'spec.data', 'Required'),
  pretrain('no data location', 'spec.data.uri', undefined, 'spec.data.uri', 'Required'),
  pretrain('no budget', 'spec.budget', undefined, 'spec.budget', 'Required'),
  pretrain('no checkpoint store', 'spec.checkpoint', undefined, 'spec.checkpoint', 'Required'),
  pretrain('a checkpoint store without a claim', 'spec.checkpoint.store', {}, 'spec.checkpoint.store', 'exactly one of pvc and s3'),
  finetune('nothing to start from', 'spec.init', undefined, 'spec.init', 'Required'),
  // unknown fields
  pretrain('a misspelt top field', 'spec.modle', { size: '1M' }, 'spec.modle', 'unknown field'),
  pretrain('a misspelt nested field', 'spec.optimizer', { learningrate: '0.1' }, 'spec.optimizer.learningrate', 'unknown field'),
  pretrain('a field of a pod template that is not in the safe subset', 'spec.workers', { podTemplate: { serviceAccountName: 'root' } }, 'spec.workers.podTemplate.serviceAccountName', 'unknown field'),
  pretrain('a host network', 'spec.workers', { podTemplate: { hostNetwork: true } }, 'spec.workers.podTemplate.hostNetwork', 'unknown field'),
  finetune('pre-training pairing on a fine-tune', 'spec.data.pairing', 'samePrompt', 'spec.data.pairing', 'unknown field'),
  finetune('a warm start on a fine-tune', 'spec.warmStart', { policyClassification: { steps: 5 } }, 'spec.warmStart', 'unknown field'),
  // wrong types
  pretrain('a learning rate as a number', 'spec.optimizer', { learningRate: 0.001 }, 'spec.optimizer.learningRate', 'string'),
  pretrain('steps as a string', 'spec.budget', { steps: '100' }, 'spec.budget.steps', 'integer'),
  pretrain('steps as a fraction', 'spec.budget', { steps: 1.5 }, 'spec.budget.steps', 'integer'),
  pretrain('suspend as a string', 'spec.suspend', 'yes', 'spec.suspend', 'boolean'),
  pretrain('a model as a string', 'spec.model', '1.8B', 'spec.model', 'object'),
  pretrain('workers as a number', 'spec.workers', 4, 'spec.workers', 'object'),
  pretrain('tokens as a number', 'spec.budget', { tokens: 1000000 }, 'spec.budget.tokens', 'string'),
  // model
  pretrain('a size that is no preset', 'spec.model', { size: '13B' }, 'spec.model.size', 'Unsupported value', '1.8B'),
  pretrain('size and architecture at once', 'spec.model', { size: '1M', architecture: WIDTHS }, 'spec.model', 'size and architecture exclude each other'),
  pretrain('neither size nor architecture nor weights', 'spec.model', {}, 'spec.model', 'one of model.size, model.architecture, model.init and resumeFrom'),
  pretrain('a hidden size the heads do not divide', 'spec.model', { architecture: { ...WIDTHS, hiddenSize: 100 } }, 'spec.model.architecture', 'multiple of 2 * numHeads'),
  pretrain('heads the key/value heads do not divide', 'spec.model', { architecture: { ...WIDTHS, numKeyValueHeads: 3 } }, 'spec.model.architecture', 'numKeyValueHeads'),
  pretrain('no layers', 'spec.model', { architecture: { ...WIDTHS, numLayers: 0 } }, 'spec.model.architecture.numLayers', 'greater than or equal to 1'),
  pretrain('an architecture without a width', 'spec.model', { architecture: { ...WIDTHS, hiddenSize: undefined } }, 'spec.model.architecture.hiddenSize', 'Required'),
  pretrain('dropout over 0.9', 'spec.model', { size: '1M', dropout: '0.95' }, 'spec.model.dropout', 'between 0 and 0.9'),
  pretrain('dropout that is no decimal', 'spec.model', { size: '1M', dropout: 'a bit' }, 'spec.model.dropout', 'should match'),
  pretrain('a tokenizer given and to be trained', 'spec.model', { size: '1M', tokenizer: { uri: 'pvc://w/tok', vocabSize: 4096 } }, 'spec.model.tokenizer', 'exclude each other'),
  pretrain('a vocabulary smaller than the bytes', 'spec.model', { size: '1M', tokenizer: { vocabSize: 100 } }, 'spec.model.tokenizer.vocabSize', 'greater than or equal to 300'),
  pretrain('weights from a web address', 'spec.model', { size: '1M', init: { uri: 'https://example.com/weights' } }, 'spec.model.init.uri', 'should match'),
  // data
  pretrain('data on the host', 'spec.data.uri', '/home/user/data.jsonl', 'spec.data.uri', 'should match'),
  pretrain('data outside its volume', 'spec.data.uri', 'pvc://data/../other/x', 'spec.data.uri', '".."'),
  pretrain('data with a space in its path', 'spec.data.uri', 'pvc://data/my file', 'spec.data.uri', 'should match'),
  pretrain('a pairing that does not exist', 'spec.data.pairing', 'random', 'spec.data.pairing', 'samePrompt', 'crossPrompt'),
  pretrain('no negatives', 'spec.data.negativesPerPositive', 0, 'spec.data.negativesPerPositive', 'greater than or equal to 1'),
  pretrain('a wrapper that does not exist', 'spec.data.wrapper', 'chatml', 'spec.data.wrapper', 'pretrain', 'sft'),
  pretrain('responses longer than the sequence', 'spec.data', { uri: 'pvc://d/x', maxLength: 1024, maxResponseLength: 1024 }, 'spec.data.maxLength', '2 * maxResponseLength'),
  finetune('responses longer than the sequence', 'spec.data', { uri: 'pvc://d/x', maxLength: 100, maxResponseLength: 64 }, 'spec.data.maxLength', '2 * maxResponseLength'),
  // budget
  pretrain('steps and tokens at once', 'spec.budget', { steps: 10, tokens: '1M' }, 'spec.budget', 'exactly one of steps and tokens'),
  pretrain('an empty budget', 'spec.budget', {}, 'spec.budget', 'exactly one of steps and tokens'),
  pretrain('tokens with an unknown unit', 'spec.budget', { tokens: '3.6Q' }, 'spec.budget.tokens', 'should match'),
  pretrain('zero steps', 'spec.budget', { steps: 0 }, 'spec.budget.steps', 'greater than or equal to 1'),
  pretrain('epochs of pre-training', 'spec.budget', { epochs: 1 }, 'spec.budget.epochs', 'unknown field'),
  finetune('steps and epochs at once', 'spec.budget', { steps: 10, epochs: 1 }, 'spec.budget', 'exactly one of steps and epochs'),
  // optimizer
  pretrain('a negative learning rate', 'spec.optimizer', { learningRate: '-0.1' }, 'spec.optimizer.learningRate', 'should match'),
  pretrain('a learning rate over 1', 'spec.optimizer', { learningRate: '10' }, 'spec.optimizer.learningRate', 'between 0 and 1'),
  pretrain('a learning rate that is a word', 'spec.optimizer', { learningRate: 'fast' }, 'spec.optimizer.learningRate', 'should match'),
  pretrain('a learning rate over 1 beside the law', 'spec.optimizer', { learningRate: '2' }, 'spec.optimizer.learningRate', 'auto or a decimal between 0 and 1'),
  pretrain('a learning rate by law from random weights', 'spec.optimizer', { learningRate: 'auto' }, 'spec.optimizer', 'auto is refused for random weights'),
  pretrain('a batch by law from random weights', 'spec.optimizer', { batchTriplets: 'auto' }, 'spec.optimizer', 'auto is refused for random weights'),
  pretrain('a batch that is another word', 'spec.optimizer', { batchTriplets: 'large' }, 'spec.optimizer.batchTriplets', 'a whole number between 1 and 1000000, or auto'),
  pretrain('a law without the tokens of the base model', 'spec', byLaw({ init: { uri: 'pvc://w/x' } }), 'spec.optimizer', 'auto needs model.init.pretrainedTokens'),
  pretrain('a law with a budget in steps', 'spec', { ...byLaw(), budget: { steps: 5 } }, 'spec.optimizer', 'auto needs budget.tokens'),
  pretrain('a law for weights of unknown size', 'spec', byLaw({ size: undefined }), 'spec.optimizer', 'auto needs the number of parameters'),
  finetune('a learning rate by law', 'spec.optimizer', { learningRate: 'auto' }, 'spec.optimizer.learningRate', 'should match'),
  pretrain('a warmup and a cooldown longer than the run', 'spec.optimizer', { schedule: 'wsd', warmupPercent: 90, cooldownPercent: 20 }, 'spec.optimizer.cooldownPercent', 'together must be at most 100'),
  pretrain('a schedule that does not exist', 'spec.optimizer', { schedule: 'linear' }, 'spec.optimizer.schedule', 'cosine', 'constant'),
  pretrain('an empty batch', 'spec.optimizer', { batchTriplets: 0 }, 'spec.optimizer.batchTriplets', 'a whole number between 1 and 1000000, or auto'),
  finetune('an empty batch', 'spec.optimizer', { batchTriplets: 0 }, 'spec.optimizer.batchTriplets', 'greater than or equal to 1'),
  pretrain('beta2 of 1', 'spec.optimizer', { beta2: '1' }, 'spec.optimizer.beta2', 'between 0 and 0.9999'),
  pretrain('a warmup over 100 percent', 'spec.optimizer', { warmupPercent: 101 }, 'spec.optimizer.warmupPercent', 'less than or equal to 100'),
  finetune('NaN as weight decay', 'spec.optimizer', { weightDecay: 'NaN' }, 'spec.optimizer.weightDecay', 'should match'),
  // warm start, validation, checkpoint
  pretrain('a warm start without steps', 'spec.warmStart', { policyClassification: {} }, 'spec.warmStart.policyClassification.steps', 'Required'),
  pretrain('a warm start that is no object', 'spec.warmStart', true, 'spec.warmStart', 'object'),
  pretrain('no held-out prompts', 'spec.validation', { heldOutPromptPercent: 0 }, 'spec.validation.heldOutPromptPercent', 'greater than or equal to 1'),
  pretrain('nearly all prompts held out', 'spec.validation', { heldOutPromptPercent: 99 }, 'spec.validation.heldOutPromptPercent', 'less than or equal to 90'),
  pretrain('too few validation pairs', 'spec.validation', { pairs: 1 }, 'spec.validation.pairs', 'greater than or equal to 10'),
  pretrain('a validation at every zeroth step', 'spec.validation', { everySteps: 0 }, 'spec.validation.everySteps', 'greater than or equal to 1'),
  pretrain('a single held-out policy', 'spec.validation', { heldOutPolicies: 1 }, 'spec.validation.heldOutPolicies', '0 or at least 2'),
  finetune('held-out policies on a fine-tune', 'spec.validation', { heldOutPolicies: 3 }, 'spec.validation.heldOutPolicies', 'unknown field'),
  pretrain('no checkpoint kept', 'spec.checkpoint', { store: { pvc: 'runs' }, keepLast: 0 }, 'spec.checkpoint.keepLast', 'greater than or equal to 1'),
  pretrain('a claim name in capitals', 'spec.checkpoint', { store: { pvc: 'Runs' } }, 'spec.checkpoint.store.pvc', 'should match'),
  // workers and recovery
  pretrain('no workers', 'spec.workers', { replicas: 0 }, 'spec.workers.replicas', 'greater than or equal to 1'),
  pretrain('negative GPUs', 'spec.workers', { gpusPerWorker: -1 }, 'spec.workers.gpusPerWorker', 'greater than or equal to 0'),
  pretrain('more processes than groups in a batch', 'spec.workers', { replicas: 64, gpusPerWorker: 8 }, 'batchTriplets', 'training processes'),
  pretrain('an image with a space', 'spec.workers', { image: 'polar trainer' }, 'spec.workers.image', 'should match'),
  pretrain('an image pull policy that does not exist', 'spec.workers', { imagePullPolicy: 'Sometimes' }, 'spec.workers.imagePullPolicy', 'IfNotPresent'),
  pretrain('a grace period too short to save', 'spec.workers', { terminationGracePeriodSeconds: 1 }, 'spec.workers.terminationGracePeriodSeconds', 'greater than or equal to 5'),
  pretrain('memory as a sentence', 'spec.workers', { resources: { requests: { memory: 'four gigs' } } }, 'spec.workers.resources.requests', 'should match'),
  pretrain('a pod label of the operator', 'spec.workers', { podTemplate: { labels: { 'polar.training/run-uid': 'x' } } }, 'spec.workers.podTemplate.labels', 'belong to the system'),
  pretrain('too many tolerations', 'spec.workers', { podTemplate: { tolerations: Array.from({ length: 33 }, () => ({ operator: 'Exists' })) } }, 'spec.workers.podTemplate.tolerations', 'at most 32'),
  pretrain('negative restarts', 'spec.recovery', { maxRestarts: -1 }, 'spec.recovery.maxRestarts', 'greater than or equal to 0'),
  pretrain('no time to start', 'spec.recovery', { startDeadlineSeconds: 0 }, 'spec.recovery.startDeadlineSeconds', 'greater than or equal to 1'),
  pretrain('a negative seed', 'spec.seed', -1, 'spec.seed', 'greater than or equal to 0'),
  pretrain('a negative hang timeout', 'spec.recovery', { hangTimeoutSeconds: -1 }, 'spec.recovery.hangTimeoutSeconds', 'greater than or equal to 0'),
  // engine, export, resume
  pretrain('a precision that does not exist', 'spec.engine', { precision: 'int8' }, 'spec.engine.precision', 'bf16', 'fp16'),
  pretrain('activation checkpointing as a string', 'spec.engine', { activationCheckpointing: 'yes' }, 'spec.engine.activationCheckpointing', 'boolean'),
  finetune('a sharding that does not exist', 'spec.engine', { sharding: 'pipeline' }, 'spec.engine.sharding', 'full'),
  pretrain('an export format that does not exist', 'spec.export', { formats: ['gguf'] }, 'spec.export.formats', 'huggingface', 'onnx'),
  pretrain('an export format twice', 'spec.export', { formats: ['onnx', 'onnx'] }, 'spec.export.formats', 'Duplicate value'),
  pretrain('a run that is continued and weights at once', 'spec', { ...GOOD_PRETRAIN.spec, model: { init: { uri: 'pvc://w/x' } }, resumeFrom: { uri: 'pvc://runs/a/step-00000005' } }, 'spec.resumeFrom', 'excludes model.init'),
  pretrain('a run that is continued outside its volume', 'spec.resumeFrom', { uri: 'pvc://runs/../x' }, 'spec.resumeFrom.uri', '".."'),
  pretrain('a run to continue named twice', 'spec.resumeFrom', { uri: 'pvc://runs/x/step-00000005', pretrainRef: { name: 'a' } }, 'spec.resumeFrom', 'exactly one of pretrainRef and uri'),
  pretrain('a step of a checkpoint that is given by its place', 'spec.resumeFrom', { uri: 'pvc://runs/x/step-00000005', step: 5 }, 'spec.resumeFrom.step', 'step goes with pretrainRef'),
  pretrain('a run that continues itself', 'spec', { ...GOOD_PRETRAIN.spec, resumeFrom: { pretrainRef: { name: 'good' } } }, 'spec.resumeFrom.pretrainRef.name', 'must name another run'),
  pretrain('a law for a run that is continued', 'spec', { ...byLaw(), resumeFrom: { uri: 'pvc://runs/x/step-00000005' }, model: {} }, 'spec.optimizer', 'auto is refused with resumeFrom'),
  finetune('a fine-tune that continues a run', 'spec.resumeFrom', { uri: 'pvc://runs/a/step-00000005' }, 'spec.resumeFrom', 'unknown field'),
  // the life of a run
  pretrain('checkpoints by steps and by time', 'spec.checkpoint', { store: { pvc: 'runs' }, everySteps: 10, everyMinutes: 5 }, 'spec.checkpoint', 'exclude each other'),
  pretrain('checkpoints every zero minutes', 'spec.checkpoint.everyMinutes', 0, 'spec.checkpoint.everyMinutes', 'between 1 and 1440, or auto'),
  pretrain('checkpoints now and then', 'spec.checkpoint.everyMinutes', 'often', 'spec.checkpoint.everyMinutes', 'between 1 and 1440, or auto'),
  pretrain('two checkpoint stores', 'spec.checkpoint.store', { pvc: 'runs', s3: { bucket: 'runs' } }, 'spec.checkpoint.store', 'exactly one of pvc and s3'),
  pretrain('a bucket in capitals', 'spec.checkpoint.store', { s3: { bucket: 'Runs' } }, 'spec.checkpoint.store.s3.bucket', 'should match'),
  pretrain('an endpoint without a scheme', 'spec.checkpoint.store', { s3: { bucket: 'runs', endpoint: 'minio:9000' } }, 'spec.checkpoint.store.s3.endpoint', 'should match'),
  pretrain('an unknown deletion policy', 'spec.checkpoint.deletionPolicy', 'Forget', 'spec.checkpoint.deletionPolicy', 'Retain', 'Delete'),
  pretrain('a time to live that is over before it begins', 'spec.ttlSecondsAfterFinished', -1, 'spec.ttlSecondsAfterFinished', 'greater than or equal to 0'),
  pretrain('a manager nobody knows', 'spec.managedBy', 'me', 'spec.managedBy', 'polar.training/operator', 'kueue.x-k8s.io/multikueue'),
  pretrain('a queue without a name', 'spec.queue', {}, 'spec.queue.name', 'Required'),
  pretrain('no time to save', 'spec.recovery', { saveTimeoutSeconds: 0 }, 'spec.recovery.saveTimeoutSeconds', 'greater than or equal to 1'),
  pretrain('a silence below zero', 'spec.recovery', { silenceTimeoutSeconds: -1 }, 'spec.recovery.silenceTimeoutSeconds', 'greater than or equal to 0'),
  pretrain('an unknown gang scheduler', 'spec.workers', { podGroup: 'slurm' }, 'spec.workers.podGroup', 'volcano', 'coscheduling'),
  pretrain('a topology without a level', 'spec.workers', { topology: { mode: 'required' } }, 'spec.workers.topology.level', 'Required'),
  finetune('a suspension that is not yes or no', 'spec.suspend', 'later', 'spec.suspend', 'boolean'),
  // fine-tune init
  finetune('a pre-train and weights at once', 'spec.init', { pretrainRef: { name: 'a' }, uri: 'pvc://w/x' }, 'spec.init', 'exactly one of pretrainRef and uri'),
  finetune('neither a pre-train nor weights', 'spec.init', { checkpoint: 'best' }, 'spec.init', 'exactly one of pretrainRef and uri'),
  finetune('a checkpoint that is neither best nor latest', 'spec.init', { pretrainRef: { name: 'a' }, checkpoint: 'step-500' }, 'spec.init.checkpoint', 'best', 'latest'),
  finetune('a pre-train name in capitals', 'spec.init', { pretrainRef: { name: 'Base' } }, 'spec.init.pretrainRef.name', 'should match'),
];

/** A copy of a manifest with the value at a dotted path replaced, or removed when undefined. */
export function changed(manifest: object, path: string, value: unknown): Record<string, unknown> {
  const copy = structuredClone(manifest) as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce((node, key) => node[key] as Record<string, unknown>, copy);
  if (value === undefined) delete parent[last];
  else parent[last] = structuredClone(value);
  return copy;
}
