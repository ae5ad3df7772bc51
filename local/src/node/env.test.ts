import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { containerEnv, expand, serviceEnv } from './env.ts';
import type { EnvInput } from './env.ts';
import type { Container, Pod, Service } from './objects.ts';

const pod = {
  metadata: { name: 'p', namespace: 'ns', uid: 'u', labels: { 'a/b': 'c' }, annotations: {} },
  spec: { containers: [], serviceAccountName: 'robot' },
} as unknown as Pod;

const input = (container: Partial<Container>, more: Partial<EnvInput> = {}): EnvInput => ({
  pod, container: { name: 'main', ...container }, services: {},
  facts: { nodeName: 'n1', podIP: '127.64.0.1', hostIP: '127.0.0.1', allocatable: { cpu: '4', memory: '8Gi' } },
  sources: { configMap: () => Promise.resolve(undefined), secret: () => Promise.resolve(undefined) },
  ...more,
});

describe('expansion of $(VAR)', () => {
  const cases: Record<string, [text: string, want: string]> = {
    'replaces a known name': ['a $(X) b', 'a 1 b'],
    'leaves an unknown name': ['$(NOPE)', '$(NOPE)'],
    'turns $$ into $': ['$$(X) $$', '$(X) $'],
    'leaves a lone dollar': ['$X $', '$X $'],
    'leaves an unclosed name': ['$(X', '$(X'],
    'replaces twice in a row': ['$(X)$(X)', '11'],
    'does not expand a value again': ['$(NEST)', '$(X)'],
  };
  for (const [sentence, [text, want]] of Object.entries(cases)) {
    it(sentence, () => { assert.equal(expand(text, { X: '1', NEST: '$(X)' }), want); });
  }
});

describe('a container\'s environment', () => {
  it('lets env see envFrom and earlier entries, not later ones', async () => {
    const configMap = () => Promise.resolve({ metadata: { name: 'c', namespace: 'ns', uid: '1' }, data: { BASE: 'x' } });
    const env = await containerEnv(input({
      envFrom: [{ configMapRef: { name: 'c' } }],
      env: [{ name: 'A', value: '$(BASE)-$(B)' }, { name: 'B', value: '$(A)!' }],
    }, { sources: { configMap, secret: () => Promise.resolve(undefined) } }));
    assert.deepEqual(env, { BASE: 'x', A: 'x-$(B)', B: 'x-$(B)!' });
  });

  it('reads fields and resources of the pod', async () => {
    const env = await containerEnv(input({
      resources: { limits: { cpu: '1500m', 'nvidia.com/gpu': '2' } },
      env: [
        { name: 'LABEL', valueFrom: { fieldRef: { fieldPath: 'metadata.labels[\'a/b\']' } } },
        { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
        { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
        { name: 'MILLI', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } } },
        { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Gi' } } },
        { name: 'GPU', valueFrom: { resourceFieldRef: { resource: 'limits.nvidia.com/gpu' } } },
      ],
    }));
    assert.deepEqual(env, { LABEL: 'c', NODE: 'n1', CPU: '2', MILLI: '1500', MEMORY: '8', GPU: '2' });
  });

  it('names a missing object, and passes over an optional one', async () => {
    const entry = (optional: boolean): Partial<Container> => ({ env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'gone', key: 'k', optional } } }] });
    await assert.rejects(containerEnv(input(entry(false))), /configmap "gone" not found/);
    assert.deepEqual(await containerEnv(input(entry(true))), {});
    await assert.rejects(containerEnv(input({ envFrom: [{ secretRef: { name: 'none' } }] })), /secret "none" not found/);
  });

  it('names a missing key', async () => {
    const configMap = () => Promise.resolve({ metadata: { name: 'c', namespace: 'ns', uid: '1' }, data: {} });
    const sources = { configMap, secret: () => Promise.resolve(undefined) };
    const wants = input({ env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'c', key: 'k' } } }] }, { sources });
    await assert.rejects(containerEnv(wants), /couldn't find key k in ConfigMap c/);
  });
});

describe('service variables', () => {
  it('are given for services that answer somewhere', () => {
    const service = (name: string): Service => ({ metadata: { name, namespace: 'ns', uid: name }, spec: { ports: [{ name: 'grpc-a', port: 7 }] } });
    const env = serviceEnv([service('my-svc'), service('silent')], ({ metadata }) => (metadata.name === 'my-svc' ? '127.64.0.9' : undefined));
    assert.deepEqual(env, { MY_SVC_SERVICE_HOST: '127.64.0.9', MY_SVC_SERVICE_PORT: '7', MY_SVC_SERVICE_PORT_GRPC_A: '7' });
  });
});
