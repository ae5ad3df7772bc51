import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { crdOf, structural } from './crd.ts';
import type { JsonSchema } from './crd.ts';
import { EXIT_CODES, FAILURE_RULES, RESTART_AFTER } from './exitCodes.ts';
import { KINDS } from './kinds.ts';
import { parseCount, parseVolumeUri } from './scalars.ts';

const CRD_LIMIT_BYTES = 200 * 1024;

/** Every node of a schema with its path. */
function nodesOf(node: JsonSchema, path: string): [string, JsonSchema][] {
  const children = Object.entries((node['properties'] ?? {}) as Record<string, JsonSchema>);
  const items = node['items'] as JsonSchema | undefined;
  return [[path, node], ...children.flatMap(([name, child]) => nodesOf(child, `${path}.${name}`)), ...(items === undefined ? [] : nodesOf(items, `${path}[]`))];
}

for (const kind of KINDS) {
  const nodes = nodesOf(structural(kind.schema), '').filter(([path]) => path !== '');
  describe(`the schema of ${kind.kind}`, () => {
    test('documents every field', () => {
      assert.deepEqual(nodes.filter(([path, node]) => !path.endsWith('[]') && typeof node['description'] !== 'string').map(([path]) => path), []);
    });
    test('bounds every string and every list', () => {
      const unbounded = nodes.filter(([, node]) => (node['type'] === 'string' && node['maxLength'] === undefined && node['enum'] === undefined)
        || (node['type'] === 'array' && node['maxItems'] === undefined));
      assert.deepEqual(unbounded.map(([path]) => path), []);
    });
    test('has no floating-point field', () => {
      assert.deepEqual(nodes.filter(([, node]) => node['type'] === 'number').map(([path]) => path), []);
    });
    test('says how every list merges', () => {
      assert.deepEqual(nodes.filter(([, node]) => node['type'] === 'array' && node['x-kubernetes-list-type'] === undefined).map(([path]) => path), []);
    });
    test('tells every plain default where kubectl explain shows it', () => {
      const version = (crdOf(kind)['spec'] as { versions: { schema: { openAPIV3Schema: JsonSchema } }[] }).versions[0];
      assert.ok(version);
      const defaults = nodesOf(version.schema.openAPIV3Schema, '').filter(([, node]) => ['string', 'number', 'boolean'].includes(typeof node['default']));
      assert.ok(defaults.length > 20);
      assert.deepEqual(defaults.filter(([, node]) => !String(node['description']).endsWith(` Default: ${String(node['default'])}.`)).map(([path]) => path), []);
    });
    test('fits well below the size that client-side apply can store', () => {
      assert.ok(JSON.stringify(crdOf(kind)).length < CRD_LIMIT_BYTES);
    });
  });
}

describe('exit codes', () => {
  test('have one pod-failure rule each', () => {
    const ruled = FAILURE_RULES.flatMap(({ reasons }) => reasons).sort();
    assert.deepEqual(ruled, Object.keys(RESTART_AFTER).filter((reason) => reason !== 'Silent').sort());
    assert.deepEqual(ruled.filter((reason) => reason !== 'Disrupted'), Object.keys(EXIT_CODES).sort());
  });
});

describe('scalars', () => {
  for (const [text, want] of [['500', 500], ['1.5M', 1_500_000], ['2.5B', 2.5e9], ['0.94T', 9.4e11], ['12K', 12_000]] as const) {
    test(`${text} is ${String(want)}`, () => { assert.equal(parseCount(text), want); });
  }
  for (const [uri, want] of [['pvc://a/b/c/', { claim: 'a', path: 'b/c' }], ['pvc://a', { claim: 'a', path: '' }]] as const) {
    test(`${uri} names claim ${want.claim} and path "${want.path}"`, () => { assert.deepEqual(parseVolumeUri(uri), want); });
  }
});
