// From a kind's zod schema to its CustomResourceDefinition: a structural schema with defaults, CEL and field docs.
import { z } from 'zod';
import type { Kind } from './kinds.ts';
import { GROUP, VERSION } from './labels.ts';

export type JsonSchema = Record<string, unknown>;

const NAME_RULE = {
  rule: "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
  message: 'metadata.name must start with a letter, hold only lower-case letters, digits and "-", and be at most 63 characters: workers get their host names from it',
};

/** OpenAPI v3 schema of a zod schema as the API server accepts it (structural, no $ref, no nullable unions). */
export function structural(schema: z.ZodType): JsonSchema {
  const json = z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', reused: 'inline', unrepresentable: 'throw' }) as JsonSchema;
  return clean(json) as JsonSchema;
}

const DROPPED = new Set(['$schema', '$defs', 'propertyNames', 'id']);

function clean(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(clean);
  if (node === null || typeof node !== 'object') return node;
  const entries = Object.entries(node).filter(([key]) => !DROPPED.has(key)).map(([key, value]) => [key, clean(value)] as const);
  return fitted(Object.fromEntries(entries));
}

function fitted(node: JsonSchema): JsonSchema {
  if (node['x-kubernetes-int-or-string'] === true) return without(node, ['anyOf', 'type']);
  if (node['type'] === 'integer') return { ...without(node, ['exclusiveMinimum', 'exclusiveMaximum']), format: 'int64', maximum: node['maximum'] ?? Number.MAX_SAFE_INTEGER };
  if (node['additionalProperties'] === false) return without(node, ['additionalProperties']);
  return node;
}

function without(node: JsonSchema, keys: readonly string[]): JsonSchema {
  return Object.fromEntries(Object.entries(node).filter(([key]) => !keys.includes(key)));
}

/** Puts every plain default into the field's description: `kubectl explain` shows no defaults of its own. */
function withDefaultsTold(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withDefaultsTold);
  if (node === null || typeof node !== 'object') return node;
  const told = Object.fromEntries(Object.entries(node).map(([key, value]) => [key, withDefaultsTold(value)]));
  const { default: value, description } = told;
  const isPlain = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
  return typeof description === 'string' && isPlain ? { ...told, description: `${description} Default: ${String(value)}.` } : told;
}

/** The CustomResourceDefinition of a kind. */
export function crdOf(kind: Kind): JsonSchema {
  const { properties } = withDefaultsTold(structural(kind.schema)) as { properties: Record<string, JsonSchema> };
  const root = {
    type: 'object',
    description: kind.description,
    required: ['spec'],
    properties: {
      apiVersion: { type: 'string', description: 'polar.training/v1alpha1.' },
      kind: { type: 'string', description: `${kind.kind}.` },
      metadata: { type: 'object' },
      ...properties,
    },
    'x-kubernetes-validations': [NAME_RULE, ...kind.rules],
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${kind.plural}.${GROUP}` },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: { kind: kind.kind, listKind: `${kind.kind}List`, plural: kind.plural, singular: kind.singular, shortNames: [kind.shortName], categories: ['polar'] },
      versions: [{
        name: VERSION, served: true, storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: kind.columns,
        schema: { openAPIV3Schema: root },
      }],
    },
  };
}
