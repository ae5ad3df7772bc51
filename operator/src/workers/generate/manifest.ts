// The files of a corpus: corpus.json (what is fixed), one manifest per shard file, manifest.json (all of them together).
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { ConfigError, type GenerateConfig } from './config.ts';
import type { ShownCount } from './counts.ts';
import { writeWhole } from './durable.ts';
import { namesIn } from './journal.ts';
import { shortHash } from './chance.ts';
import type { PlanInput, Pool, PromptKind, Split } from './plan.ts';
import type { PromptStore, SourceCount } from './prompts.ts';

export const VERSION = 1;

/** What may not change while a corpus is made. */
export interface Fixed {
  readonly seed: number;
  readonly prompts: GenerateConfig['prompts'];
  readonly policies: readonly { readonly name: string; readonly api: string; readonly model: string }[];
  readonly sampling: GenerateConfig['sampling'];
  readonly heldOut: GenerateConfig['heldOut'];
  readonly cleaning: GenerateConfig['cleaning'];
  readonly shardPrefixes: number;
}

export interface Corpus {
  readonly version: number;
  /** Over `fixed` and the prompts: shards of different corpora are never mixed. */
  readonly id: string;
  readonly fixed: Fixed;
  readonly heldOutPrompts: number;
  readonly store: PromptStore;
  readonly sources: readonly SourceCount[];
  readonly createdAt: string;
}

export interface PartManifest {
  readonly version: number;
  readonly corpus: string;
  readonly shard: number;
  readonly part: number;
  readonly split: Split;
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly rows: number;
  readonly prefixes: { readonly from: number; readonly to: number };
  /** Requests of the shard that are settled, in this part or an earlier one: bits, in base64. */
  readonly settled: string;
  readonly complete: boolean;
  /** Journals whose content this part holds. */
  readonly journals: readonly number[];
  readonly policies: Readonly<Record<string, ShownCount>>;
  readonly spent: { readonly tokens: number; readonly money: string };
  readonly firstAnswer: string;
  readonly lastAnswer: string;
}

export const corpusPath = (output: string): string => join(output, 'corpus.json');
export const promptsFolder = (output: string): string => join(output, 'prompts');
export const journalsFolder = (output: string): string => join(output, 'journals');
export const manifestsFolder = (output: string): string => join(output, 'manifests');
export const shardName = (shard: number, part: number): string => `shard-${String(shard).padStart(6, '0')}-${String(part)}`;

/** Shard and part out of a name such as shard-000012-0.json. */
export function partsOfName(name: string): { shard: number; part: number } | undefined {
  const match = /^shard-(\d{6,})-(\d+)\.[a-z]+$/.exec(name);
  return match === null ? undefined : { shard: Number(match[1]), part: Number(match[2]) };
}

export function fixedOf(config: GenerateConfig): Fixed {
  const { seed, prompts, sampling, heldOut, cleaning, shardPrefixes } = config;
  return { seed, prompts, policies: config.policies.map(({ name, api, model }) => ({ name, api, model })), sampling, heldOut, cleaning, shardPrefixes };
}

export function corpusOf(config: GenerateConfig, store: PromptStore, sources: readonly SourceCount[]): Corpus {
  const fixed = fixedOf(config);
  const heldOutPrompts = Math.min(store.count - 1, Math.round((store.count * config.heldOut.promptPercent) / 100));
  return { version: VERSION, id: shortHash(JSON.stringify([fixed, store.files]), 16), fixed, heldOutPrompts, store, sources, createdAt: new Date().toISOString() };
}

/** The corpus that is in the folder already; undefined when none is. ConfigError when it is another one than the configuration says. */
export async function readCorpus(config: GenerateConfig): Promise<Corpus | undefined> {
  const path = corpusPath(config.output);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const corpus = JSON.parse(text) as Corpus;
  if (corpus.version !== VERSION) throw new ConfigError(`${path}: version: expected ${String(VERSION)}, got ${String(corpus.version)}`);
  const wanted = JSON.parse(JSON.stringify(fixedOf(config))) as Fixed;
  for (const key of Object.keys(wanted) as (keyof Fixed)[]) {
    if (!isDeepStrictEqual(wanted[key], corpus.fixed[key])) throw new ConfigError(`${key}: expected what the corpus in ${config.output} was begun with, ${short(corpus.fixed[key])}, got ${short(wanted[key])}: begin another corpus in another folder`);
  }
  return corpus;
}

const short = (value: unknown): string => {
  const text = JSON.stringify(value);
  return text.length > 300 ? `${text.slice(0, 300)}...` : text;
};

/** The plan that a corpus fixes. */
export function planOf({ fixed, store, heldOutPrompts }: Corpus): PlanInput {
  const held = new Set(fixed.heldOut.policies);
  const pool = (kind: PromptKind): Pool => {
    const able = fixed.policies.map(({ name, api }, i) => ({ i, name, api })).filter(({ api }) => (api === 'chat') === (kind === 'instructions'));
    return { seen: able.filter(({ name }) => !held.has(name)).map(({ i }) => i), heldOut: able.filter(({ name }) => held.has(name)).map(({ i }) => i) };
  };
  return { seed: fixed.seed, prompts: store.count, heldOutPrompts, shardPrefixes: fixed.shardPrefixes, pools: { text: pool('text'), instructions: pool('instructions') } };
}

const shown = z.looseObject({ spent: z.object({ tokens: z.number(), money: z.string() }), lost: z.object({ tokens: z.number(), money: z.string() }) });
const partSchema = z.looseObject({ corpus: z.string(), shard: z.int(), part: z.int(), rows: z.int(), bytes: z.int(), sha256: z.string(), settled: z.base64(), complete: z.boolean(), journals: z.array(z.int()), policies: z.record(z.string(), shown), spent: z.object({ tokens: z.number(), money: z.string() }) });

/** The manifest in a text. Error says what is wrong with it. */
export function parsePart(text: string, source: string): PartManifest {
  try {
    return partSchema.parse(JSON.parse(text)) as unknown as PartManifest;
  } catch (error) {
    throw new ConfigError(`${source}: not a shard's manifest: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

type FileLine = Pick<PartManifest, 'file' | 'bytes' | 'sha256' | 'rows' | 'split' | 'shard' | 'part' | 'complete'>;

/** What manifest.json says of each shard file, by shard and part. */
async function readManifests(output: string): Promise<FileLine[]> {
  const folder = manifestsFolder(output);
  const lines: FileLine[] = [];
  for (const name of (await namesIn(folder)).filter((one) => one.endsWith('.json'))) {
    const { file, bytes, sha256, rows, split, shard, part, complete } = parsePart(await readFile(join(folder, name), 'utf8'), join(folder, name));
    lines.push({ file, bytes, sha256, rows, split, shard, part, complete });
  }
  return lines.sort((a, b) => a.shard - b.shard || a.part - b.part);
}

/** Writes manifest.json, again as long as other workers finished shards meanwhile. */
export async function writeManifest(output: string, corpus: Corpus, shards: number): Promise<void> {
  for (let known = -1, files = await readManifests(output); files.length !== known; files = await readManifests(output)) {
    known = files.length;
    const complete = new Set(files.filter((file) => file.complete).map(({ shard }) => shard)).size;
    const rows = files.reduce((sum, file) => sum + file.rows, 0);
    const text = JSON.stringify({ version: VERSION, corpus: corpus.id, shards: { all: shards, complete }, rows, heldOutPrompts: corpus.heldOutPrompts, heldOutPolicies: corpus.fixed.heldOut.policies, files }, null, 1);
    await writeWhole(join(output, 'manifest.json'), `${text}\n`);
  }
}
