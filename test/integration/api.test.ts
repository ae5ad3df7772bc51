// The resource definitions in a real API server: what it defaults, what it refuses, what it lets a user change.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { kubectl } from '../../local/src/apply.ts';
import { POLAR_FINETUNE, POLAR_PRETRAIN } from '../../operator/src/api/kinds.ts';
import { finetuneSpec } from '../../operator/src/api/finetune.ts';
import { pretrainSpec } from '../../operator/src/api/pretrain.ts';
import { ApiError } from '../../operator/src/runtime/apiError.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { BAD_MANIFESTS, BY_LAW, changed, GOOD_FINETUNE, GOOD_PRETRAIN } from './badManifests.ts';
import { sharedCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';

let cluster: TestCluster;
let client: KubeClient;
let namespace: string;

before(async () => {
  cluster = await sharedCluster({ crds: true });
  client = await clientFor(cluster.adminConfig);
  namespace = await cluster.namespace('api');
});
after(() => client.close());

const pathOf = (kind: string): string => `/apis/polar.training/v1alpha1/namespaces/${namespace}/${kind.toLowerCase()}s`;

interface Stored { readonly metadata: { readonly generation: number }; readonly spec: Record<string, unknown> }

const post = (manifest: Record<string, unknown>, dryRun: boolean): Promise<Stored> =>
  client.request('POST', pathOf(String(manifest['kind'])), { body: manifest, query: { fieldValidation: 'Strict', ...(dryRun ? { dryRun: 'All' } : {}) } });

const edit = (name: string, spec: object): Promise<Stored> =>
  client.request('PATCH', `${pathOf('PolarPretrain')}/${name}`, { body: { spec }, contentType: 'application/merge-patch+json', query: { fieldValidation: 'Strict' } });

const refusal = async (action: Promise<unknown>): Promise<string> => {
  try {
    await action;
  } catch (error) {
    assert.ok(error instanceof ApiError, String(error));
    return error.message;
  }
  assert.fail('the API server accepted it');
};

describe('the API server', () => {
  test('accepts the manifests that the bad ones are made from', async () => {
    await post(GOOD_PRETRAIN, true);
    await post(GOOD_FINETUNE, true);
    await post(BY_LAW, true);
  });

  test('accepts models whose dimensions come with their weights', async () => {
    await post(changed(GOOD_PRETRAIN, 'spec.model', { init: { uri: 'pvc://w/x' } }), true);
    await post({ ...GOOD_PRETRAIN, spec: { ...GOOD_PRETRAIN.spec, model: {}, resumeFrom: { uri: 'pvc://runs/ns/polarpretrain/a/step-00000005' } } }, true);
    await post({ ...GOOD_PRETRAIN, spec: { ...GOOD_PRETRAIN.spec, model: {}, resumeFrom: { pretrainRef: { name: 'trunk' }, step: 5 } } }, true);
  });

  test('has at least 60 bad manifests to refuse', () => { assert.ok(BAD_MANIFESTS.length >= 60); });

  for (const bad of BAD_MANIFESTS) {
    test(`refuses ${bad.kind} with ${bad.name} and names ${bad.want[0] ?? ''}`, async () => {
      const good = bad.kind === 'PolarPretrain' ? GOOD_PRETRAIN : GOOD_FINETUNE;
      const message = await refusal(post(changed(good, bad.path, bad.value), true));
      for (const text of bad.want) assert.ok(message.includes(text), `expected "${text}" in: ${message}`);
    });
  }

  test('fills in the defaults that zod fills in', async () => {
    const pretrain = await post(GOOD_PRETRAIN, true);
    assert.deepEqual(pretrain.spec, pretrainSpec.parse(GOOD_PRETRAIN.spec));
    const finetune = await post(GOOD_FINETUNE, true);
    assert.deepEqual(finetune.spec, finetuneSpec.parse(GOOD_FINETUNE.spec));
  });
});

describe('a stored PolarPretrain', () => {
  before(async () => { await post(changed(GOOD_PRETRAIN, 'metadata.name', 'stored'), false); });

  const frozen: readonly (readonly [string, object])[] = [
    ['model', { model: { size: '3M' } }], ['data', { data: { pairing: 'crossPrompt' } }], ['optimizer', { optimizer: { learningRate: '0.01' } }], ['validation', { validation: { pairs: 50 } }],
    ['checkpoint', { checkpoint: { store: { pvc: 'elsewhere' } } }], ['managedBy', { managedBy: 'kueue.x-k8s.io/multikueue' }], ['seed', { seed: 7 }], ['warmStart', { warmStart: { policyClassification: { steps: 3 } } }],
    ['resumeFrom', { resumeFrom: { uri: 'pvc://runs/a/step-00000005' } }],
  ];
  for (const [field, spec] of frozen) {
    test(`cannot change its ${field}, and the refusal says why`, async () => {
      const message = await refusal(edit('stored', spec));
      assert.match(message, new RegExp(`spec\\.${field}`));
      assert.match(message, /cannot be changed after creation: create a new run/);
    });
  }

  for (const budget of [{ steps: 1 }, { steps: null, tokens: '1B' }]) {
    test(`cannot get the budget ${JSON.stringify(budget)}, and the refusal says why`, async () => {
      const message = await refusal(edit('stored', { budget }));
      assert.match(message, /spec\.budget.*may be raised.*not lowered/);
    });
  }

  for (const spec of [{ budget: { steps: 1_000_000 } }, { checkpoint: { keepLast: 7 } }, { ttlSecondsAfterFinished: 60 }, { suspend: true }, { recovery: { maxRestarts: 3 } }, { workers: { image: 'trainer:2' } }, { engine: { activationCheckpointing: true } }, { export: { formats: ['onnx'] } }]) {
    test(`can change ${JSON.stringify(spec)}`, async () => { await edit('stored', spec); });
  }

  test('can change the name of its queue while it is suspended, and only then', async () => {
    await edit('stored', { suspend: true });
    await edit('stored', { queue: { name: 'small' } });
    await edit('stored', { suspend: false, queue: { name: 'large' } });
    assert.match(await refusal(edit('stored', { queue: { name: 'small' } })), /spec\.queue.*only while the run is suspended/);
    assert.match(await refusal(edit('stored', { queue: null })), /spec\.queue.*only while the run is suspended/);
    await edit('stored', { queue: { priorityClassName: 'high', evictionGraceSeconds: 5 } });
  });

  test('keeps its generation when only its status is written', async () => {
    const path = `${pathOf('PolarPretrain')}/stored`;
    const before = await client.request<Stored>('GET', path);
    await client.request('PATCH', `${path}/status`, { body: { status: { phase: 'Running', progress: { step: 3, valLoss: '0.5' } } }, contentType: 'application/merge-patch+json' });
    const now = await client.request<Stored>('GET', path);
    assert.equal(now.metadata.generation, before.metadata.generation);
  });

  test('shows step and losses in kubectl get, by its short name', async () => {
    const table = await kubectl(cluster.kubeconfigPath, ['-n', namespace, 'get', 'ppre', 'stored']);
    assert.match(table, /NAME +PHASE +STEP +TOTAL +VAL-LOSS +VAL-ACC +BEST +TOKENS\/S +ETA +RESTARTS +AGE/);
    assert.match(table, /stored +Running +3 .* 0\.5 /);
  });
});

describe('a stored run with a budget in tokens', () => {
  before(async () => { await post({ ...changed(GOOD_PRETRAIN, 'metadata.name', 'tokens'), spec: { ...GOOD_PRETRAIN.spec, budget: { tokens: '1.5M' } } }, false); });

  for (const tokens of ['1500K', '1.6M', '2B', '2000M', '2.1B', '0.94T']) {
    test(`can get ${tokens}`, async () => { await edit('tokens', { budget: { tokens } }); });
  }
  for (const budget of [{ tokens: '2M' }, { tokens: '0.9T' }, { tokens: '939B' }, { tokens: null, steps: 100_000_000 }]) {
    test(`cannot get ${JSON.stringify(budget)} afterwards, and the refusal says why`, async () => {
      assert.match(await refusal(edit('tokens', { budget })), /spec\.budget.*may be raised.*not lowered or given in another unit/);
    });
  }
});

describe('a stored PolarFinetune', () => {
  before(async () => { await post(changed(GOOD_FINETUNE, 'metadata.name', 'stored'), false); });
  const editFinetune = (spec: object): Promise<Stored> => client.request('PATCH', `${pathOf('PolarFinetune')}/stored`, { body: { spec }, contentType: 'application/merge-patch+json', query: { fieldValidation: 'Strict' } });

  for (const spec of [{ budget: { epochs: 3 } }, { recovery: { silenceTimeoutSeconds: 0 } }, { workers: { replicas: 2 } }]) {
    test(`can change ${JSON.stringify(spec)}`, async () => { await editFinetune(spec); });
  }
  for (const [field, spec] of [['init', { init: { checkpoint: 'latest' } }], ['data', { data: { wrapper: 'pretrain' } }], ['dropout', { dropout: '0.1' }], ['seed', { seed: 1 }]] as const) {
    test(`cannot change its ${field}`, async () => {
      assert.match(await refusal(editFinetune(spec)), new RegExp(`spec\\.${field}.*cannot be changed after creation`));
    });
  }
  test('cannot train fewer epochs than it was to', async () => {
    assert.match(await refusal(editFinetune({ budget: { epochs: 2 } })), /spec\.budget.*may be raised/);
  });
});

describe('kubectl explain', () => {
  for (const { shortName, kind } of [POLAR_PRETRAIN, POLAR_FINETUNE]) {
    test(`documents every field of ${kind}`, async () => {
      const text = await kubectl(cluster.kubeconfigPath, ['explain', `${shortName}.spec`, '--recursive']);
      assert.match(text, /learningRate\t<string>/);
      const documented = await kubectl(cluster.kubeconfigPath, ['explain', `${shortName}.spec.data.uri`]);
      assert.match(documented, /DESCRIPTION:\n +(Trajectories|Ranked triplets): rows of/);
    });
  }
});
