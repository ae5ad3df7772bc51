// A container's environment as Kubernetes defines it: service variables, then envFrom, then env in order, with $(VAR) expanded.
import { fieldText, resourceText } from './downward.ts';
import type { NodeFacts } from './downward.ts';
import type { ConfigMap, Container, EnvVar, Pod, Secret, Service } from './objects.ts';

/** Reads one object of the pod's namespace; undefined when it does not exist. */
export interface Sources {
  configMap(name: string): Promise<ConfigMap | undefined>;
  secret(name: string): Promise<Secret | undefined>;
}

export interface EnvInput {
  readonly pod: Pod;
  readonly container: Container;
  readonly facts: NodeFacts;
  readonly sources: Sources;
  readonly services: Readonly<Record<string, string>>;
}

type Env = Record<string, string>;

/** Replaces $(NAME) by its value, $$ by $, and leaves unknown names as they are. */
export const expand = (text: string, env: Readonly<Record<string, string>>): string =>
  text.replace(/\$\$|\$\(([^)]*)\)/g, (found: string, name: string | undefined) =>
    (name === undefined ? '$' : env[name] ?? found));

const fromBase64 = (text: string): string => Buffer.from(text, 'base64').toString('utf8');

/** A Secret's data as text. */
const secretText = (secret: Secret): Env =>
  Object.fromEntries(Object.entries(secret.data ?? {}).map(([key, value]) => [key, fromBase64(value)]));

const pick = (data: Env | undefined, kind: string, ref: { name?: string; key: string; optional?: boolean }): string | undefined => {
  const value = data?.[ref.key];
  if (value !== undefined || ref.optional === true) return value;
  throw new Error(data ? `couldn't find key ${ref.key} in ${kind} ${ref.name ?? ''}` : `${kind.toLowerCase()} "${ref.name ?? ''}" not found`);
};

const valueFrom = async (from: NonNullable<EnvVar['valueFrom']>, input: EnvInput): Promise<string | undefined> => {
  const { pod, container, facts, sources } = input;
  if (from.fieldRef) return fieldText(from.fieldRef.fieldPath, pod, facts);
  if (from.resourceFieldRef) return resourceText(from.resourceFieldRef, container, facts.allocatable);
  const { configMapKeyRef, secretKeyRef } = from;
  if (configMapKeyRef) return pick((await sources.configMap(configMapKeyRef.name ?? ''))?.data, 'ConfigMap', configMapKeyRef);
  if (secretKeyRef) {
    const secret = await sources.secret(secretKeyRef.name ?? '');
    return pick(secret && secretText(secret), 'Secret', secretKeyRef);
  }
  return undefined;
};

/** A ConfigMap's or Secret's data as text; undefined when there is no such object. */
const dataOf = async (sources: Sources, kind: 'configmap' | 'secret', name: string): Promise<Env | undefined> => {
  if (kind === 'secret') {
    const secret = await sources.secret(name);
    return secret && secretText(secret);
  }
  const configMap = await sources.configMap(name);
  return configMap && (configMap.data ?? {});
};

const imported = async (sources: Sources, kind: 'configmap' | 'secret', { name = '', optional = false }: { name?: string; optional?: boolean }): Promise<Env> => {
  const data = await dataOf(sources, kind, name);
  if (data || optional) return data ?? {};
  throw new Error(`${kind} "${name}" not found`);
};

const importAll = async (input: EnvInput): Promise<Env> => {
  const env: Env = {};
  for (const { configMapRef, secretRef, prefix = '' } of input.container.envFrom ?? []) {
    const data = await imported(input.sources, configMapRef ? 'configmap' : 'secret', configMapRef ?? secretRef ?? {});
    for (const [key, value] of Object.entries(data)) env[prefix + key] = value;
  }
  return env;
};

/**
 * Everything Kubernetes puts in the container's environment; what the image and the node add is not here.
 * Throws Error naming the missing object or key.
 */
export const containerEnv = async (input: EnvInput): Promise<Env> => {
  const env: Env = { ...input.services, ...await importAll(input) };
  for (const entry of input.container.env ?? []) {
    const value = entry.valueFrom ? await valueFrom(entry.valueFrom, input) : expand(entry.value ?? '', env);
    if (value !== undefined) env[entry.name] = value;
  }
  return env;
};

/** FOO_SERVICE_HOST and FOO_SERVICE_PORT[_NAME] for each Service with an address and a port. `addressOf` says where it answers. */
export const serviceEnv = (services: readonly Service[], addressOf: (service: Service) => string | undefined): Env => {
  const env: Env = {};
  for (const service of services) {
    const host = addressOf(service);
    const ports = service.spec?.ports ?? [];
    if (host === undefined || !ports[0]) continue;
    const prefix = service.metadata.name.toUpperCase().replaceAll('-', '_');
    env[`${prefix}_SERVICE_HOST`] = host;
    env[`${prefix}_SERVICE_PORT`] = String(ports[0].port);
    for (const { name, port } of ports) if (name) env[`${prefix}_SERVICE_PORT_${name.toUpperCase().replaceAll('-', '_')}`] = String(port);
  }
  return env;
};
