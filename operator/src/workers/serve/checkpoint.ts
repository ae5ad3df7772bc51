// An exported folder (trainer/polar/onnx_export.py): read, verified against the hashes it gives of itself, and watched:
// onnxruntime maps the weights into memory, so a file that is written to later changes scores without a word.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import type { Limits, Wrapper } from './encode.ts';
import { ModelError } from './errors.ts';
import { parseTokenizer, type Tokenizer } from './tokenizer.ts';

const FILES = ['model.onnx', 'model.onnx.data', 'tokenizer.json'] as const;
/** What the released client sends, for folders that no run made. */
const OFFICIAL = { maxLength: 16_384, maxResponseLength: 4_096 };

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const Facts = z.object({
  formatVersion: z.literal(1),
  source: z.string(),
  manifestSha256: z.string().nullable(),
  parameters: z.number(),
  training: z.object({ step: z.number().nullish(), run: z.string().nullish() }).nullable(),
  vocabSize: z.int().min(1),
  files: z.object({ 'model.onnx': Sha256, 'model.onnx.data': Sha256, 'tokenizer.json': Sha256 }),
  encoding: z.object({
    maxLength: z.int().min(8),
    maxResponseLength: z.int().min(1).default(OFFICIAL.maxResponseLength),
    wrapper: z.enum(['sft', 'pretrain']).default('sft'),
    responseCutSide: z.enum(['right', 'left']).default('right'),
    emptyResponse: z.enum(['newline', 'omit']).default('newline'),
    reference: z.enum(['include', 'omit']).default('include'),
    bosTokenId: z.int(), separatorTokenId: z.int(), rewardTokenId: z.int(),
  }),
});

/** What a file was when it was read: size, inode and times. */
export type Stamps = Readonly<Record<string, string>>;

export interface Model {
  readonly folder: string;
  /** The checkpoint: name of its folder, hash of its manifest (null for weights that no run made), step. */
  readonly source: string; readonly checkpointSha256: string | null; readonly step: number | null;
  /** Hash of the weights. */
  readonly weightsSha256: string;
  readonly parameters: number; readonly vocabSize: number;
  readonly limits: Limits; readonly wrapper: Wrapper;
  /** Whether it was taught with references; one that was not ignores them. */
  readonly reference: boolean;
  readonly tokenizer: Tokenizer;
  readonly stamps: Stamps;
}

/** Reads and verifies a folder. ModelError names the file, what was expected and what was got. */
export async function loadModel(folder: string): Promise<Model> {
  const facts = await readFacts(join(folder, 'polar.json'));
  const stamps = await stampsOf(folder);
  for (const name of FILES) await verify(join(folder, name), facts.files[name]);
  const file = join(folder, 'tokenizer.json');
  const tokenizer = readable(file, await readFile(file, 'utf8'));
  const { encoding, training } = facts;
  for (const [name, id] of [['bosTokenId', tokenizer.ids.bos], ['separatorTokenId', tokenizer.ids.separator], ['rewardTokenId', tokenizer.ids.reward]] as const) {
    if (encoding[name] !== id) throw new ModelError(`${file}: expected ${name} ${String(encoding[name])} as polar.json says, got ${String(id)}`);
  }
  await sameFiles(folder, stamps);
  return {
    folder, source: facts.source, checkpointSha256: facts.manifestSha256, step: training?.step ?? null, weightsSha256: facts.files['model.onnx.data'],
    parameters: facts.parameters, vocabSize: facts.vocabSize, tokenizer, stamps, wrapper: encoding.wrapper, reference: encoding.reference === 'include',
    limits: {
      maxLength: training === null ? Math.min(encoding.maxLength, OFFICIAL.maxLength) : encoding.maxLength,
      maxResponseLength: encoding.maxResponseLength, cutSide: encoding.responseCutSide, emptyResponse: encoding.emptyResponse,
    },
  };
}

/** ModelError when a file is no longer what it was when the model was loaded. */
export async function sameFiles(folder: string, stamps: Stamps): Promise<void> {
  const now = await stampsOf(folder);
  const [changed] = FILES.filter((name) => now[name] !== stamps[name]);
  if (changed !== undefined) throw new ModelError(`${join(folder, changed)}: changed since it was loaded: restart to serve what is there now`);
}

async function stampsOf(folder: string): Promise<Stamps> {
  const found = await Promise.all(FILES.map(async (name): Promise<[string, string]> => {
    const { size, ino, mtimeNs, ctimeNs } = await ask(join(folder, name), (file) => stat(file, { bigint: true }));
    return [name, [size, ino, mtimeNs, ctimeNs].join(' ')];
  }));
  return Object.fromEntries(found);
}

async function readFacts(file: string): Promise<z.infer<typeof Facts>> {
  const text = await ask(file, (name) => readFile(name, 'utf8'));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ModelError(`${file}: not JSON: ${String(error)}`, { cause: error });
  }
  const parsed = Facts.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ModelError(`${file}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'unusable'}: export the checkpoint again`);
}

async function verify(file: string, wanted: string): Promise<void> {
  const hash = createHash('sha256');
  await ask(file, (name) => pipeline(createReadStream(name), hash));
  const got = hash.digest('hex');
  if (got !== wanted) throw new ModelError(`${file}: expected SHA-256 ${wanted}, got ${got}: the folder is damaged or mixed`);
}

function readable(file: string, json: string): Tokenizer {
  try {
    return parseTokenizer(json, file);
  } catch (error) {
    throw new ModelError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

async function ask<T>(file: string, read: (file: string) => Promise<T>): Promise<T> {
  try {
    return await read(file);
  } catch (error) {
    throw new ModelError(`${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
