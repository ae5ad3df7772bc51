import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Admission } from './admission.ts';
import type { Attempt } from './desired.ts';
import { desiredJob } from './job.ts';
import { parseSpec } from './parseSpec.ts';
import { desiredPodGroup, times } from './podGroup.ts';
import type { Template } from './topology.ts';
import { SETTINGS } from './testdata/world.ts';

const metadata = { name: 'demo', namespace: 'team', uid: '11111111-2222' };

function attemptOf(change: object, admission?: Admission): Attempt {
  const parsed = parseSpec('PolarPretrain', { model: { size: '300K' }, data: { uri: 'pvc://data/pool' }, budget: { steps: 5 }, checkpoint: { store: { pvc: 'runs' } }, ...change });
  assert.ok(parsed.spec, parsed.specIssue);
  return { run: { kind: 'PolarPretrain', metadata, status: {} }, spec: parsed.spec, attempt: 2, init: undefined, settings: SETTINGS, admission };
}

const templateOf = (change: object, admission?: Admission): Template => desiredJob(attemptOf(change, admission)).spec['template'] as Template;
const ownGang = { matchLabels: { 'polar.training/run-uid': metadata.uid, 'polar.training/attempt': '2' } };

describe('workers of a gang', () => {
  test('may be anywhere when nothing is said', () => {
    const { spec } = templateOf({});
    assert.deepEqual(['affinity', 'nodeSelector', 'tolerations', 'schedulingGates', 'schedulerName'].filter((field) => field in spec), []);
  });

  test('are together in one domain when that is required', () => {
    const { spec } = templateOf({ workers: { topology: { mode: 'required', level: 'rack' } } });
    assert.deepEqual(spec['affinity'], { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'rack', labelSelector: ownGang }] } });
  });

  test('are together as far as there is room when that is preferred', () => {
    const { spec } = templateOf({ workers: { topology: { level: 'rack' } } });
    assert.deepEqual(spec['affinity'], { podAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, podAffinityTerm: { topologyKey: 'rack', labelSelector: ownGang } }] } });
  });

  test('are placed by Kueue alone when they wait in a queue', () => {
    const admission = { labels: { a: 'b', 'polar.training/attempt': '9' }, annotations: { c: 'd' }, nodeSelector: { zone: 'x' }, tolerations: [{ key: 'spot', operator: 'Exists', value: undefined, effect: undefined, tolerationSeconds: undefined }], schedulingGates: [{ name: 'gate' }] };
    const own = { nodeSelector: { gpu: 'a100' }, tolerations: [{ key: 'own' }] };
    const { metadata: { labels, annotations }, spec } = templateOf({ queue: { name: 'gpus' }, workers: { topology: { level: 'rack' }, podTemplate: own } }, admission);
    assert.equal(spec['affinity'], undefined);
    assert.equal(labels['polar.training/attempt'], '2');
    assert.deepEqual([labels['a'], annotations['c'], spec['nodeSelector'], spec['schedulingGates']], ['b', 'd', { gpu: 'a100', zone: 'x' }, [{ name: 'gate' }]]);
    assert.deepEqual((spec['tolerations'] as { key: string }[]).map(({ key }) => key), ['own', 'spot']);
  });
});

describe('a pod group', () => {
  test('is found by Volcano through an annotation, and Volcano schedules its pods', () => {
    const { metadata: { annotations }, spec } = templateOf({ workers: { podGroup: 'volcano' } });
    assert.deepEqual([annotations['scheduling.k8s.io/group-name'], spec['schedulerName']], ['demo-pretrain-2', 'volcano']);
  });

  test('is found by coscheduling through a label, in the scheduler the user names', () => {
    const { metadata: { labels }, spec } = templateOf({ workers: { podGroup: 'coscheduling', podTemplate: { schedulerName: 'gang' } } });
    assert.deepEqual([labels['scheduling.x-k8s.io/pod-group'], spec['schedulerName']], ['demo-pretrain-2', 'gang']);
  });

  test('asks for all workers and all they request together', () => {
    const resources = { requests: { cpu: '1500m', memory: '4Gi' }, limits: { memory: '8Gi' } };
    const group = desiredPodGroup(attemptOf({ workers: { replicas: 3, gpusPerWorker: 8, podGroup: 'coscheduling', resources } }));
    assert.deepEqual(group?.spec, { minMember: 3, minResources: { cpu: '4500m', memory: '12Gi', 'nvidia.com/gpu': '24' } });
    assert.equal(group.apiVersion, 'scheduling.x-k8s.io/v1alpha1');
  });

  for (const [quantity, count, all] of [['0.1', 3, '0.3'], ['1e3', 4, '4e3'], ['100', 64, '6400'], ['2.5Gi', 2, '5Gi']] as const) {
    test(`multiplies ${quantity} by ${count} without an error of floats`, () => assert.equal(times(quantity, count), all));
  }
});
