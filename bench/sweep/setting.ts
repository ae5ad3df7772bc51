// What is trained: pools of trajectories, the grid of sizes, budgets and seeds, and the sweeps over them.

type Fields = Readonly<Record<string, unknown>>;

export interface Setting {
  readonly name: string;
  /** Where trajectories come from: arguments of demo/toy_pool.py, or a folder of this machine. */
  readonly pool: { readonly arguments: readonly string[] } | { readonly folder: string };
  readonly sizes: readonly Architecture[];
  readonly steps: readonly number[];
  readonly seeds: readonly number[];
  readonly template: Fields;
  readonly policies: 'seen' | 'unseen';
  readonly minutes: number;
}

export interface Architecture {
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly intermediateSize: number;
}

export const DATA_CLAIM = 'bench-data';
export const RUNS_CLAIM = 'bench-runs';
export const COOLDOWN_PERCENT = 20;

/** Less than one CPU keeps a run at one thread: two runs at a time on two cores. */
const workers = { resources: { requests: { cpu: '500m', memory: '1Gi' } } };
const checkpoint = { store: { pvc: RUNS_CLAIM }, everySteps: 1_000_000, keepLast: 1, keepBest: 0 };

/** Three layers, heads of about 16 channels, feed-forward twice the width: 30 width^2 parameters outside the embedding. */
const architecture = (hiddenSize: number): Architecture => {
  const heads = Math.max(1, Math.floor(hiddenSize / 16));
  return { hiddenSize, numLayers: 3, numHeads: heads, numKeyValueHeads: heads, intermediateSize: 2 * hiddenSize };
};

const toyTemplate: Fields = {
  model: { tokenizer: { vocabSize: 1024 } },
  data: { uri: `pvc://${DATA_CLAIM}/pool/trajectories.jsonl.gz`, pairing: 'samePrompt', negativesPerPositive: 1, maxLength: 128, maxResponseLength: 48 },
  optimizer: { learningRate: '0.0007', batchTriplets: 32, schedule: 'wsd', cooldownPercent: COOLDOWN_PERCENT, warmupPercent: 5, weightDecay: '0.01' },
  warmStart: { policyClassification: { steps: 120, batchTrajectories: 96, learningRate: '0.002' } },
  validation: { everySteps: 200, pairs: 4000, heldOutPromptPercent: 15 },
  checkpoint, workers,
};

/** Six sizes over a 36-fold span of parameters without embedding, four budgets, two seeds: 48 runs. */
const toy: Setting = {
  name: 'toy', pool: { arguments: ['--prompts', '2400'] }, policies: 'seen', minutes: 90,
  sizes: [16, 24, 32, 48, 64, 96].map(architecture),
  steps: [100, 200, 400, 800], seeds: [0, 1], template: toyTemplate,
};

/** The same path through every part in three minutes; its numbers mean nothing. */
const quick: Setting = {
  ...toy, name: 'quick', pool: { arguments: ['--prompts', '80'] }, minutes: 10,
  sizes: toy.sizes.slice(0, 4).map((size) => ({ ...size, numLayers: 2 })), steps: [6, 12], seeds: [0],
  template: { ...toyTemplate, warmStart: { policyClassification: { steps: 6, batchTrajectories: 16 } }, validation: { everySteps: 6, pairs: 100, heldOutPromptPercent: 20 } },
};

/** Answers of real language models, one per model and prompt; a quarter of the prompts and 16 models are held out. */
const real = (folder: string): Setting => ({
  ...toy, name: 'real', pool: { folder }, minutes: 600, policies: 'seen', seeds: [0, 1], steps: [150, 300, 600],
  template: {
    ...toyTemplate,
    model: { tokenizer: { vocabSize: 4096 }, dropout: '0.05' },
    data: { uri: `pvc://${DATA_CLAIM}/trajectories.jsonl.gz`, pairing: 'crossPrompt', negativesPerPositive: 3, wrapper: 'sft', maxLength: 150, maxResponseLength: 64 },
    optimizer: { learningRate: '0.0012', batchTriplets: 16, schedule: 'wsd', cooldownPercent: COOLDOWN_PERCENT, warmupPercent: 5, weightDecay: '0.1' },
    warmStart: { policyClassification: { steps: 760, batchTrajectories: 64, learningRate: '0.003' } },
    validation: { everySteps: 300, pairs: 3000, heldOutPromptPercent: 25, heldOutPolicies: 16 },
  },
});

export const settingOf = ({ isQuick, folder }: { readonly isQuick: boolean; readonly folder: string | undefined }): Setting => {
  if (folder === undefined) return isQuick ? quick : toy;
  const whole = real(folder);
  if (!isQuick) return whole;
  const template = { ...whole.template, warmStart: { policyClassification: { steps: 4, batchTrajectories: 16 } }, validation: { everySteps: 6, pairs: 100, heldOutPromptPercent: 25, heldOutPolicies: 16 } };
  return { ...whole, name: 'real-quick', minutes: 20, sizes: quick.sizes, steps: quick.steps, seeds: quick.seeds, template };
};
