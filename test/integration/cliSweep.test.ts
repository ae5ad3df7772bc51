// kubectl polar sweep as a process, against a real API server: it says what the status says and nothing else.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { locateBinaries } from '../../local/src/controlplane/binaries.ts';
import { LABEL_SWEEP_UID } from '../../operator/src/api/labels.ts';
import { sweepSpec } from '../../operator/src/api/sweep.ts';
import type { SweepStatus } from '../../operator/src/api/sweepStatus.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { gridOf } from '../../operator/src/sweep/grid.ts';
import { lawsOf } from '../../operator/src/sweep/laws.ts';
import type { RunRecord } from '../../operator/src/sweep/point.ts';
import { PROGRAM, run, start } from './cliProgram.ts';
import { sharedCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';

const folder = mkdtempSync(join(tmpdir(), 'polar-cli-'));
let cluster: TestCluster;
let client: KubeClient;
let namespace: string;
let env: Readonly<Record<string, string>>;
let status: SweepStatus;

const SPEC = {
  template: { data: { uri: 'pvc://data/pool' }, checkpoint: { store: { pvc: 'runs' } } },
  axes: { sizes: ['300K', '1M', '3M', '10M', '30M'].map((size) => ({ size })), tokens: ['50M', '200M'], learningRates: ['0.003'], batchTriplets: [64], seeds: [0] },
  fit: { forms: ['power', 'joint'], bootstrap: 200 },
  targets: [{ name: '7b', parameters: '7B', tokens: '3.6T' }, { loss: '0.45' }],
};

const OPTIMA: SweepStatus['optima'] = [{ of: 'learningRate', size: '3M', parameters: '3e+06', tokens: '5e+07', value: '0.00123', lower: '0.0011', upper: '0.0014', loss: '0.61', degree: 4, runs: 6 }];
const HYPER_LAWS: SweepStatus['hyperLaws'] = [{ of: 'learningRate', points: 3, r2: '0.97', coefficients: [{ name: 'parameters', value: '-0.21', lower: '-0.3', upper: '-0.12' }] }];

/** A record of every point but the last, which failed, with losses a little off a known law. */
function recordsOf(): readonly RunRecord[] {
  return gridOf(sweepSpec.parse(SPEC)).map(({ id, point, parameters }, index) => {
    const tokens = point.tokens ?? 0;
    const loss = Number(((0.3 + 3 * parameters ** -0.2 + 20 * tokens ** -0.28) * (1 + 0.004 * Math.sin(7 * index))).toFixed(5));
    const flops = 6 * parameters * tokens;
    const about = { id, retry: 0, point, run: { name: `law-${id}`, uid: `uid-${id}` }, parameters: parameters + 1e5, parametersWithoutEmbedding: parameters, tokens, computedTokens: tokens, steps: 100, naiveFlops: flops, flops, spentFlops: flops, gpuHours: 0.5, completedTime: '2026-01-01T00:00:00Z' };
    if (index === 9) return { ...about, outcome: 'Failed', reason: 'DataInvalid', message: 'bad \u001b[31mrow', curve: [] };
    return { ...about, outcome: 'Succeeded', valLoss: loss, valLossStandardError: 0.002, valPairs: 1000, curve: [0.25, 0.5, 0.75].map((share) => ({ tokens: tokens * share, valLoss: loss * (1 + 0.1 * (1 - share)) })) };
  });
}

const sweepPath = (name = ''): string => `/apis/polar.training/v1alpha1/namespaces/${namespace}/polarsweeps${name === '' ? '' : `/${name}`}`;

async function createSweep(name: string): Promise<void> {
  const { metadata: { uid } } = await client.request<{ metadata: { uid: string } }>('POST', sweepPath(), { body: { apiVersion: 'polar.training/v1alpha1', kind: 'PolarSweep', metadata: { name }, spec: SPEC } });
  const records = recordsOf();
  for (const [index, part] of [records.slice(0, 4), records.slice(4)].entries()) {
    const metadata = { name: `${name}-points-${String(index)}`, labels: { [LABEL_SWEEP_UID]: uid } };
    await client.request('POST', `/api/v1/namespaces/${namespace}/configmaps`, { body: { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: Object.fromEntries(part.map((record) => [`${record.id}-r0`, JSON.stringify(record)])) } });
  }
}

async function setStatus(name: string, body: SweepStatus): Promise<void> {
  await client.request('PATCH', `${sweepPath(name)}/status`, { body: { status: body }, contentType: 'application/merge-patch+json' });
}

before(async () => {
  cluster = await sharedCluster({ crds: true });
  client = await clientFor(cluster.adminConfig);
  namespace = await cluster.namespace('cli');
  env = { KUBECONFIG: cluster.kubeconfigPath };
  await createSweep('law');
  const { fit, targets = [] } = sweepSpec.parse(SPEC);
  const laws = lawsOf({ records: recordsOf() as Parameters<typeof lawsOf>[0]['records'], fit, targets });
  assert.deepEqual(laws.missing, []);
  status = {
    phase: 'Complete', points: { total: 10, succeeded: 9, failed: 1 }, spent: { flops: '1.2e17', gpuHours: '5' }, ...laws.fields, optima: OPTIMA, hyperLaws: HYPER_LAWS,
    failures: [{ point: '30M, 200M tokens', run: 'law-x', reason: 'DataInvalid', message: 'bad \u001b[31mrow' }],
  };
  await setStatus('law', status);
});
after(async () => {
  await client.close();
  rmSync(folder, { recursive: true });
});

test('prints laws and predictions in the very digits of the status, with points, failures and a plot', async () => {
  const { code, out, err } = await run(['sweep', 'law', '-n', namespace], { env });
  assert.deepEqual([code, err], [0, '']);
  const { fits = [], prediction = [] } = status;
  const estimates = fits.flatMap(({ parameters = [] }) => parameters);
  assert.equal(estimates.length, 9);
  for (const { name, value, lower, upper } of estimates) assert.match(out, new RegExp(`${name} +${value} +${String(lower)} +${String(upper)}$`, 'm'));
  const intervals = prediction.filter(({ lower }) => lower !== undefined);
  assert.ok(intervals.length >= 3);
  for (const { loss, lower, upper } of intervals) assert.ok(out.includes(`${String(loss)} (${String(lower)} to ${String(upper)})`));
  assert.match(out, /Points {2}10: 9 succeeded, 1 failed/);
  assert.match(out, /^30M +29\.01M +200M tokens +0\.003 +64 +0 +Failed +- +-$/m);
  assert.match(out, /DataInvalid +bad row/);
  assert.match(out, /o run {3}- law {3}\. extrapolated {3}: 95 % interval {3}\+ prediction/);
  assert.match(out, /^learning rate +3M +3M +50M +0\.00123 +0\.0011 +0\.0014 +0\.61 +6$/m);
  assert.match(out, /exponent of parameters +-0\.21 +-0\.3 +-0\.12$/m);
  assert.ok(!out.includes('\u001b'), 'what a run said cannot write to the terminal');
});

test('gives fits and predictions of the status unchanged as JSON and YAML', async () => {
  const { out } = await run(['sweep', 'law', '-n', namespace, '-o', 'json'], { env });
  const found = JSON.parse(out) as { fits: unknown; prediction: unknown; optima: unknown; hyperLaws: unknown; records: { state: string; valLoss?: number }[] };
  assert.deepEqual([found.optima, found.hyperLaws], [OPTIMA, HYPER_LAWS]);
  assert.deepEqual([found.fits, found.prediction, found.records.length], [status.fits, status.prediction, 10]);
  assert.equal(found.records.filter(({ state }) => state === 'Succeeded').length, 9);
  assert.match((await run(['sweep', 'law', '-n', namespace, '-o', 'yaml'], { env })).out, /^name: law$/m);
});

test('writes points that fit reads back to the numbers of the status', async () => {
  const fits = (status.fits ?? []).map(({ form = '', x = '', parameters = [] }) => ({ form, x, parameters: parameters.map(({ name, value }) => [name, value]) }));
  assert.ok(fits.length === 3);
  for (const { form, x, parameters } of fits) {
    const axis = { parameters: 'params', tokens: 'tokens', flops: 'flops' }[x];
    const words = ['--form', form, ...(axis === undefined ? [] : ['--x', axis])];
    const csv = await run(['sweep', 'law', '-n', namespace, ...words, '-o', 'csv'], { env });
    assert.equal(csv.code, 0, csv.err);
    const again = JSON.parse((await run(['fit', '-', ...words, '--bootstrap', '0', '-o', 'json'], { stdin: csv.out })).out) as { parameters: { name: string; value: number }[] };
    assert.deepEqual(again.parameters.map(({ name, value }) => [name, String(Number(value.toPrecision(6)))]), parameters);
  }
});

test('draws the law of the status with its points, targets and interval', async () => {
  const svg = join(folder, 'law.svg');
  assert.equal((await run(['sweep', 'law', '-n', namespace, '--out', svg], { env })).code, 0);
  const drawn = readFileSync(svg, 'utf8');
  assert.equal(drawn.match(/<circle r="4"/g)?.length, status.fits?.[0]?.points);
  assert.match(drawn, /95 % interval of the law/);
  assert.match(drawn, /7b: 0\.\d{4}/);
  assert.equal((await run(['sweep', 'law', '-n', namespace, '--form', 'joint', '-o', 'png'], { env })).bytes.subarray(1, 4).toString(), 'PNG');
});

test('is a plugin of kubectl', async () => {
  const kubectl = (await locateBinaries(['kubectl'])).get('kubectl') ?? '';
  const { code, out, err } = await run(['polar', 'sweep', 'law', '-n', namespace, '-o', 'csv'], { command: kubectl, env: { ...env, PATH: `${dirname(PROGRAM)}:${dirname(process.execPath)}:/usr/bin:/bin` } });
  assert.equal(code, 0, err);
  assert.equal(out.trim().split('\n').length, 10);
});

test('shows a sweep again when it changes, and ends with it', async () => {
  await createSweep('live');
  await setStatus('live', { phase: 'Running', points: { total: 10, running: 1, waiting: 9 } });
  const { ended, out } = start(['sweep', 'live', '-n', namespace, '--watch'], { env });
  while (!out().includes('Running')) await new Promise((resolve) => { setTimeout(resolve, 100); });
  await setStatus('live', status);
  const { code, out: all } = await ended;
  assert.equal(code, 0);
  assert.match(all, /Phase +Running\n.*Phase +Complete\n/s);
});

test('says what is wrong with a name, a context, a kubeconfig or a server', async () => {
  const cases: readonly (readonly [readonly string[], Readonly<Record<string, string>>, RegExp])[] = [
    [['sweep', 'none', '-n', namespace], env, new RegExp(`^error: no PolarSweep "none" in namespace ${namespace} of context \\S+\\n$`)],
    [['sweep', 'law', '--context', 'moon'], env, /^error: --context: expected one of \S+, got "moon"\n$/],
    [['sweep', 'law', '--kubeconfig', '/nonexistent/config'], {}, /^error: kubeconfig \/nonexistent\/config: no such file\n$/],
    [['sweep', 'law'], {}, /^error: no cluster: set KUBECONFIG/],
    [['sweep', 'law', '-n', namespace, '--form', 'offset'], env, /^error: PolarSweep .*\/law: status\.fits has no offset, only power over parameters/],
  ];
  for (const [words, given, said] of cases) {
    const form = words.includes('--form') ? ['-o', 'svg'] : [];
    const { code, out, err } = await run([...words, ...form], { env: given });
    assert.deepEqual([code, out], [1, ''], words.join(' '));
    assert.match(err, said);
  }
});
