// configMap, secret, downwardAPI, serviceAccountToken and projected volumes as payloads.
import { fieldText, resourceText } from '../downward.ts';
import type { NodeFacts } from '../downward.ts';
import type { Sources } from '../env.ts';
import type { Pod, Projection, Volume } from '../objects.ts';
import type { PodTokens } from '../tokens.ts';
import type { Payload, PayloadFile } from './payload.ts';

export interface ProjectionInput {
  readonly pod: Pod;
  readonly facts: NodeFacts;
  readonly sources: Sources;
  readonly tokens: PodTokens;
}

interface KeyItem { readonly key: string; readonly path: string; readonly mode?: number }
type Files = Map<string, PayloadFile>;
interface Keyed { readonly kind: string; readonly name: string; readonly items?: readonly KeyItem[]; readonly optional?: boolean }

const DEFAULT_MODE = 0o644;

const keyedFiles = (data: Record<string, Buffer> | undefined, ref: Keyed, mode: number): Files => {
  const files: Files = new Map();
  if (!data) {
    if (ref.optional === true) return files;
    throw new Error(`${ref.kind} "${ref.name}" not found`);
  }
  const items: readonly KeyItem[] = ref.items ?? Object.keys(data).map((key) => ({ key, path: key }));
  for (const item of items) {
    const value = data[item.key];
    if (value !== undefined) files.set(item.path, { data: value, mode: item.mode ?? mode });
    else if (ref.optional !== true) throw new Error(`${ref.kind} "${ref.name}" has no key "${item.key}"`);
  }
  return files;
};

const decoded = (data: Record<string, string> = {}, encoding: BufferEncoding = 'utf8'): Record<string, Buffer> =>
  Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, encoding)]));

const configMapFiles = async (from: NonNullable<Projection['configMap']>, input: ProjectionInput, mode: number): Promise<Files> => {
  const found = await input.sources.configMap(from.name ?? '');
  const data = found && { ...decoded(found.data), ...decoded(found.binaryData, 'base64') };
  return keyedFiles(data, { ...from, kind: 'configmap', name: from.name ?? '' }, mode);
};

const secretFiles = async (from: NonNullable<Projection['secret']>, input: ProjectionInput, mode: number): Promise<Files> => {
  const found = await input.sources.secret(from.name ?? '');
  return keyedFiles(found && decoded(found.data, 'base64'), { ...from, kind: 'secret', name: from.name ?? '' }, mode);
};

const downwardFiles = (items: NonNullable<Projection['downwardAPI']>['items'], { pod, facts }: ProjectionInput, mode: number): Files =>
  new Map((items ?? []).map((item) => {
    const { fieldRef, resourceFieldRef } = item;
    const container = pod.spec.containers.find((one) => one.name === resourceFieldRef?.containerName);
    const text = resourceFieldRef && container
      ? resourceText(resourceFieldRef, container, facts.allocatable)
      : fieldText(fieldRef?.fieldPath ?? '', pod, facts);
    return [item.path, { data: Buffer.from(text), mode: item.mode ?? mode }];
  }));

const tokenFiles = async (from: NonNullable<Projection['serviceAccountToken']>, input: ProjectionInput, mode: number): Promise<Files> => {
  const token = await input.tokens.token(from.audience, from.expirationSeconds ?? 3600);
  return new Map([[from.path, { data: Buffer.from(token), mode }]]);
};

const oneSource = async (source: Projection, input: ProjectionInput, mode: number): Promise<Files> => {
  if (source.configMap) return configMapFiles(source.configMap, input, mode);
  if (source.secret) return secretFiles(source.secret, input, mode);
  if (source.downwardAPI) return downwardFiles(source.downwardAPI.items, input, mode);
  if (source.serviceAccountToken) return tokenFiles(source.serviceAccountToken, input, mode);
  throw new Error(`unsupported projected source ${Object.keys(source).join(', ')}`);
};

const sourcesOf = ({ configMap, secret, downwardAPI, projected }: Volume): Projection[] => {
  if (configMap) return [{ configMap }];
  if (secret) return [{ secret: { ...secret, name: secret.secretName ?? '' } }];
  if (downwardAPI) return [{ downwardAPI }];
  return projected?.sources ?? [];
};

/** The sources of a volume that this module writes, with their default mode; undefined for any other volume. */
const projections = (volume: Volume): { sources: Projection[]; mode: number } | undefined => {
  const from = volume.configMap ?? volume.secret ?? volume.downwardAPI ?? volume.projected;
  return from && { sources: sourcesOf(volume), mode: from.defaultMode ?? DEFAULT_MODE };
};

export const isProjection = (volume: Volume): boolean => projections(volume) !== undefined;

/** The files of `volume` as of now. Throws Error naming the missing object or key. */
export const payloadOf = async (volume: Volume, input: ProjectionInput): Promise<Payload> => {
  const { sources, mode } = projections(volume) ?? { sources: [], mode: DEFAULT_MODE };
  const files: Files = new Map();
  for (const source of sources) for (const [path, file] of await oneSource(source, input, mode)) files.set(path, file);
  return files;
};
