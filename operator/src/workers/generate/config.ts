// The one document a generate worker reads. Its controller renders the same schema.
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const path = z.string().min(1).max(1024);
const name = z.string().min(1).max(253).regex(/^[^\p{Cc}]+$/u, 'no control characters');
const decimal = (text: string): z.ZodString => z.string().regex(/^\d{1,9}(\.\d{1,6})?$/, `a decimal string such as "${text}", at most six digits behind the point`);
const share = (text: string): z.ZodString => z.string().regex(/^(0(\.\d{1,6})?|1(\.0{1,6})?)$/, `a decimal string from 0 to 1 such as "${text}"`);

export const source = z.strictObject({
  path: path.meta({ description: 'A file ending in .txt, .jsonl, .jsonl.gz or .parquet, or a folder of those.' }),
  kind: z.enum(['text', 'instructions']).default('text').meta({ description: 'text: policies with api completions continue random initial segments. instructions: policies with api chat answer them.' }),
  field: z.string().min(1).max(253).optional().meta({ description: 'Key or column that holds the text or the instruction (a string or a message list); text or prompt unless told.' }),
  documents: z.enum(['line', 'paragraph', 'file']).default('line').meta({ description: 'What one document is in a .txt file.' }),
  limit: z.int().min(1).optional().meta({ description: 'Documents or instructions taken from this source at most, from its beginning.' }),
});

export const prompts = z.strictObject({
  sources: z.array(source).min(1).max(256),
  prefixTokens: z.strictObject({ least: z.int().min(1).max(1024).default(1), most: z.int().min(1).max(65_536).default(1024) }).prefault({})
    .refine(({ least, most }) => least <= most, { message: 'expected least to be at most most' })
    .meta({ description: 'Lengths of the initial segments, drawn evenly.' }),
  tokenizerPath: path.optional().meta({ description: 'A tokenizer.json that counts tokens; without it words, punctuation marks and CJK characters are counted.' }),
  limit: z.int().min(1).optional().meta({ description: 'Prompts at most, over all sources.' }),
});

export const sampling = z.strictObject({
  temperature: decimal('1.0').default('1.0'),
  topP: share('0.9').default('0.9'),
  topK: z.int().min(-1).max(1_000_000).default(50),
  maxTokens: z.int().min(1).max(1_000_000).default(4096),
});

export const policy = z.strictObject({
  name: name.meta({ description: 'The name of the policy in every row.' }),
  url: z.url({ protocol: /^https?$/ }).max(2048).meta({ description: 'The endpoint up to and with its version, such as http://llama:8000/v1.' }),
  model: name.meta({ description: 'The model asked for.' }),
  api: z.enum(['completions', 'chat']).default('completions'),
  keyPath: path.optional().meta({ description: 'A file with the API key; read again when the endpoint refuses it.' }),
  concurrency: z.int().min(1).max(4096).default(16).meta({ description: 'Requests open at once, per worker.' }),
  requestsPerSecond: decimal('2.5').optional().meta({ description: 'Requests begun per second over all workers.' }),
  timeoutSeconds: z.int().min(1).max(86_400).default(600).meta({ description: 'From sending to the last byte of the answer.' }),
  promptPricePerMillion: decimal('0.15').default('0'),
  outputPricePerMillion: decimal('0.60').default('0'),
  systemPrompt: z.string().max(65_536).optional().meta({ description: 'api chat only: a system message before the instruction.' }),
  omit: z.array(z.enum(['top_k', 'seed'])).max(2).default([]).meta({ description: 'Parameters that this endpoint does not take.' }),
});

export const generateConfig = z.strictObject({
  output: path,
  seed: z.int().min(0).default(0),
  prompts,
  policies: z.array(policy).min(2).max(4096),
  sampling: sampling.prefault({}),
  heldOut: z.strictObject({
    promptPercent: z.int().min(0).max(50).default(0).meta({ description: 'Share of the prompts that go to held-out/ and never to train/.' }),
    policies: z.array(name).max(4096).default([]).meta({ description: 'Policies that answer held-out prompts only.' }),
  }).prefault({}),
  budget: z.strictObject({
    tokens: z.int().min(1).optional().meta({ description: 'Prompt and output tokens, over all workers and restarts.' }),
    money: decimal('100').optional().meta({ description: 'In the unit of the prices.' }),
  }).prefault({}),
  cleaning: z.strictObject({
    loopRepeats: z.int().min(2).max(1000).default(4).meta({ description: 'A repetition at the end of an output is a loop from this many times on; two of them stay.' }),
    loopLength: z.int().min(2).max(1_000_000).default(80).meta({ description: 'Characters that such repetitions span at least.' }),
    incomplete: z.enum(['truncate', 'keep']).default('truncate').meta({ description: 'Outputs that ended at maxTokens: cut behind their last complete sentence or line, or keep.' }),
  }).prefault({}),
  retries: z.strictObject({
    attempts: z.int().min(1).max(100).default(6),
    baseMs: z.int().min(1).max(600_000).default(500),
    longestMs: z.int().min(1).max(3_600_000).default(60_000),
    breakAfter: z.int().min(1).max(10_000).default(10).meta({ description: 'Failures in a row after which a policy is left alone, then tried with one request.' }),
    giveUpSeconds: z.int().min(1).max(604_800).default(900).meta({ description: 'Without an answer for so long, a policy is parked and the rest goes on.' }),
  }).prefault({}),
  answerBytes: z.int().min(1024).max(1_073_741_824).default(8_388_608).meta({ description: 'Longest answer that is read.' }),
  shardPrefixes: z.int().min(1).max(100_000).default(4096).meta({ description: 'Prefixes per shard; three rows each.' }),
  openShards: z.int().min(1).max(16).default(4).meta({ description: 'Shards that are worked on at once, so that one slow answer stops nothing.' }),
  workers: z.int().min(1).max(10_000).default(1),
  progressSeconds: z.int().min(1).max(3600).default(10),
}).superRefine((config, context) => {
  const issue = (at: (string | number)[], message: string): void => { context.addIssue({ code: 'custom', path: at, message }); };
  const seen = new Map<string, number>();
  config.policies.forEach((one, i) => {
    const before = seen.get(one.name);
    if (before !== undefined) issue(['policies', i, 'name'], `expected a name of its own, got ${JSON.stringify(one.name)} of policies.${String(before)} again`);
    seen.set(one.name, i);
    if (one.api === 'completions' && one.systemPrompt !== undefined) issue(['policies', i, 'systemPrompt'], 'expected none: api completions has no messages');
  });
  config.heldOut.policies.forEach((held, i) => {
    if (!seen.has(held)) issue(['heldOut', 'policies', i], `expected the name of a policy, got ${JSON.stringify(held)}`);
  });
  if (config.heldOut.policies.length > 0 && config.heldOut.promptPercent === 0) issue(['heldOut', 'promptPercent'], 'expected at least 1: held-out policies answer held-out prompts only');
  for (const [kind, api] of [['text', 'completions'], ['instructions', 'chat']] as const) {
    if (!config.prompts.sources.some((one) => one.kind === kind)) continue;
    const left = config.policies.filter((one) => one.api === api && !config.heldOut.policies.includes(one.name)).length;
    if (left < 2) issue(['policies'], `expected at least two policies with api ${api} that are not held out, for sources of kind ${kind}, got ${String(left)}`);
  }
});

export type GenerateConfig = Readonly<z.output<typeof generateConfig>>;
export type PolicyConfig = GenerateConfig['policies'][number];
export type SourceConfig = z.output<typeof source>;
export type PromptsConfig = z.output<typeof prompts>;

/** What is wrong with the configuration: a restart does not help. */
export class ConfigError extends Error {}
/** What is wrong with the data, with file and line. */
export class DataError extends ConfigError {}

/** The configuration in a JSON file. ConfigError names the file and, for each wrong field, what was expected. */
export function readConfig<S extends z.ZodType>(file: string, schema: S): z.output<S> {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new ConfigError(`${file}: cannot read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new ConfigError(`${file}: ${result.error.issues.map((one) => `${one.path.join('.') || 'document'}: ${one.message}`).join('; ')}`);
}
