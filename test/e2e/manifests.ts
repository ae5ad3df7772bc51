// Runs small enough to train in seconds, and what they need.
type Fields = Readonly<Record<string, unknown>>;

const API_VERSION = 'polar.training/v1alpha1';
export const DATA = 'data';
export const RUNS = 'runs';
export const STEPS = 60;
export const EVERY = 10;

/** Lays `over` on `base`: objects are merged, everything else is replaced; undefined removes. */
const merged = (base: Fields, over: Fields): Fields => {
  const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);
  const entries = Object.entries(over).map(([key, value]) => {
    const before = base[key];
    return [key, isObject(before) && isObject(value) ? merged(before, value) : value] as const;
  });
  return Object.fromEntries(Object.entries({ ...base, ...Object.fromEntries(entries) }).filter(([, value]) => value !== undefined));
};

// An amount of CPU below one keeps each process at one thread: gangs on few cores would otherwise wait for each other.
const oneThread = { replicas: 1, resources: { requests: { cpu: '50m' } } };

const common = {
  optimizer: { learningRate: '0.002', batchTriplets: 16 },
  validation: { everySteps: EVERY, pairs: 100, heldOutPromptPercent: 20 },
  checkpoint: { store: { pvc: RUNS }, everySteps: EVERY },
};

/** A pre-train run of 60 steps with one worker. */
export const pretrain = (name: string, over: Fields = {}): object => ({
  apiVersion: API_VERSION, kind: 'PolarPretrain', metadata: { name },
  spec: merged({
    ...common,
    model: { architecture: { hiddenSize: 64, numLayers: 2, numHeads: 4, numKeyValueHeads: 2, intermediateSize: 128 }, tokenizer: { vocabSize: 400 } },
    data: { uri: `pvc://${DATA}/toy/trajectories.jsonl.gz`, maxLength: 128, maxResponseLength: 32, negativesPerPositive: 1 },
    budget: { steps: STEPS },
    workers: oneThread,
  }, over),
});

/** A fine-tune run of 30 steps with one worker. */
export const finetune = (name: string, init: object, over: Fields = {}): object => ({
  apiVersion: API_VERSION, kind: 'PolarFinetune', metadata: { name },
  spec: merged({
    ...common, init,
    data: { uri: `pvc://${DATA}/toy/preferences.jsonl.gz`, maxLength: 128, maxResponseLength: 32 },
    budget: { steps: 30 },
    workers: oneThread,
  }, over),
});

/** A sweep of six runs with three such widths: two layers, two budgets, one worker each, two runs at a time. */
export const sweep = (name: string, widths: readonly number[]): object => ({
  apiVersion: API_VERSION, kind: 'PolarSweep', metadata: { name },
  spec: {
    template: {
      ...common,
      model: { tokenizer: { vocabSize: 400 } },
      data: { uri: `pvc://${DATA}/toy/trajectories.jsonl.gz`, maxLength: 128, maxResponseLength: 32, negativesPerPositive: 1 },
      workers: oneThread,
    },
    axes: { sizes: widths.map((width) => ({ architecture: { hiddenSize: width, numLayers: 2, numHeads: 1, numKeyValueHeads: 1, intermediateSize: 2 * width } })), steps: [20, 40] },
    parallelism: 2, fit: { forms: ['power'] }, targets: [{ name: 'larger', parameters: '100K' }],
  },
});

export const claim = (name: string, { mode = 'ReadWriteMany', size = '1Gi', isLimited = false } = {}): object => ({
  apiVersion: 'v1', kind: 'PersistentVolumeClaim',
  metadata: { name, annotations: isLimited ? { 'polar.training/size-limit-enforced': 'true' } : {} },
  spec: { accessModes: [mode], resources: { requests: { storage: size } } },
});

/** Writes a toy policy pool to the data volume. */
export const toyPool = (): object => ({
  apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'pool' },
  spec: {
    backoffLimit: 0,
    template: {
      spec: {
        restartPolicy: 'Never',
        containers: [{
          name: 'toy-pool', image: 'polar.training/toy-pool:dev', command: ['python', 'demo/toy_pool.py', '--out', '/data/toy', '--prompts', '120'],
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        }],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName: DATA } }],
      },
    },
  },
});
