import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { admissionOf } from './admission.ts';
import { flavorNames, holdsTrue, specOf, statusOfWorkload } from './kueue.ts';
import type { Workload } from './kueue.ts';
import type { RunSpec } from './observed.ts';
import { parseSpec } from './parseSpec.ts';

const metadata = { name: 'demo-pretrain', namespace: 'team' };
const spec = (change: object = {}): RunSpec => {
  const parsed = parseSpec('PolarPretrain', { model: { size: '300K' }, data: { uri: 'pvc://data/pool' }, budget: { steps: 5 }, checkpoint: { store: { pvc: 'runs' } }, queue: { name: 'gpus' }, ...change });
  assert.ok(parsed.spec, parsed.specIssue);
  return parsed.spec;
};
const admitted = (assignment: object, more: object = {}): Workload => ({ metadata, status: { admission: { clusterQueue: 'all', podSetAssignments: [assignment] }, ...more } });
const flavor = (name: string, fields: object): { metadata: { name: string }; spec: object } => ({ metadata: { name }, spec: fields });

describe('reading what Kueue says', () => {
  test('takes the sparsest admission there can be', () => {
    const given = admissionOf({ isInstalled: true, workload: admitted({ name: 'main' }), flavors: [] }, spec());
    assert.deepEqual(given, { labels: { 'kueue.x-k8s.io/podset': 'main' }, annotations: {}, nodeSelector: {}, tolerations: [], schedulingGates: [] });
  });

  for (const hostile of [undefined, null, 7, 'text', [], { conditions: 'yes' }, { conditions: [null, 3, {}, { type: 1 }, { type: 'Admitted', status: 'True', message: {} }], admission: [], admissionChecks: { a: 1 } }, { admission: { clusterQueue: {}, podSetAssignments: 3 } }]) {
    test(`survives ${JSON.stringify(hostile) ?? 'nothing'} as status and spec`, () => {
      const workload = { metadata, status: hostile, spec: hostile } as unknown as Workload;
      assert.equal(statusOfWorkload(workload).admission, undefined);
      assert.equal(specOf(workload).active, true);
      assert.deepEqual(flavorNames(workload), []);
      assert.equal(typeof admissionOf({ isInstalled: true, workload, flavors: [] }, spec()), 'string');
    });
  }

  test('keeps the good conditions beside bad ones', () => {
    const workload = { metadata, status: { conditions: [null, { type: 'Admitted', status: 'True', message: 3 }] } } as unknown as Workload;
    assert.equal(holdsTrue(statusOfWorkload(workload), 'Admitted')?.message, undefined);
  });
});

describe('an admission', () => {
  const flavors = [flavor('a100', { nodeLabels: { gpu: 'a100', odd: 3 }, tolerations: [{ key: 'spot', operator: 'Exists' }] }), flavor('cpus', { nodeLabels: { zone: 'a' }, tolerations: [{ key: 'spot', operator: 'Exists' }] })];
  const both = { name: 'main', count: 4, flavors: { cpu: 'cpus', memory: 'cpus', 'nvidia.com/gpu': 'a100' } };

  test('brings labels and tolerations of every flavor once, and what checks add', () => {
    const checks = [{ name: 'prov', state: 'Ready', podSetUpdates: [{ name: 'other', nodeSelector: { no: 'no' } }, { name: 'main', nodeSelector: { node: 'n1' }, annotations: { a: 'b' }, labels: { c: 'd' }, tolerations: [{ key: 'spot', operator: 'Exists' }, { key: 'more' }] }] }];
    const given = admissionOf({ isInstalled: true, workload: admitted(both, { admissionChecks: checks }), flavors }, spec({ workers: { replicas: 4 } }));
    assert.deepEqual(JSON.parse(JSON.stringify(given)), {
      labels: { 'kueue.x-k8s.io/podset': 'main', c: 'd' }, annotations: { a: 'b' }, nodeSelector: { zone: 'a', gpu: 'a100', node: 'n1' },
      tolerations: [{ key: 'spot', operator: 'Exists' }, { key: 'more' }], schedulingGates: [],
    });
  });

  test('waits for a flavor that cannot be seen yet', () => {
    assert.equal(admissionOf({ isInstalled: true, workload: admitted(both), flavors: flavors.slice(1) }, spec({ workers: { replicas: 4 } })), 'no ResourceFlavor "a100", which the admission names');
  });

  test('for fewer workers is no admission of a gang', () => {
    assert.equal(admissionOf({ isInstalled: true, workload: admitted({ name: 'main', count: 1 }), flavors }, spec({ workers: { replicas: 4 } })), 'the admission is for 1 of 4 workers, and a gang starts whole');
  });

  test('is refused when it contradicts the run', () => {
    const own = spec({ workers: { replicas: 4, podTemplate: { nodeSelector: { zone: 'b' } } } });
    assert.equal(admissionOf({ isInstalled: true, workload: admitted(both), flavors }, own), 'spec.workers.podTemplate.nodeSelector asks for zone=b, but the admission gives zone=a');
  });

  test('by topology gates the pods until Kueue has placed each', () => {
    const given = admissionOf({ isInstalled: true, workload: admitted({ name: 'main', topologyAssignment: { levels: ['rack'] } }), flavors: [] }, spec({ workers: { topology: { mode: 'required', level: 'rack' } } }));
    assert.ok(typeof given === 'object');
    assert.deepEqual([given.annotations, given.schedulingGates], [{ 'kueue.x-k8s.io/podset-required-topology': 'rack', 'kueue.x-k8s.io/workload': 'demo-pretrain' }, [{ name: 'kueue.x-k8s.io/topology' }]]);
  });
});
