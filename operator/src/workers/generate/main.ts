// Asks a pool of policies for trajectories and writes them as a corpus of triplets: one config file, one worker of several.
// Usage: main.ts CONFIG.json [--worker N]     N is JOB_COMPLETION_INDEX unless told, else 0. Progress goes to stdout as JSON lines, logs to stderr.
// Ends with 0 (the line of type "end" says how far it came), 10 or 11 (configuration or data), 14 (no room), 143 (asked to stop), 1 (anything else).
import { parseArgs } from 'node:util';
import pino from 'pino';
import { EXIT_CODES } from '../../api/exitCodes.ts';
import { createClient } from './client.ts';
import { ConfigError, DataError, generateConfig, readConfig, type GenerateConfig } from './config.ts';
import { StorageFullError } from './durable.ts';
import { Engine, type EndReason } from './engine.ts';
import { planOf, promptsFolder, writeManifest } from './manifest.ts';
import { blocksOf, ownBlocks } from './plan.ts';
import { prepare } from './prepare.ts';
import { createProgress } from './progress.ts';
import { openPrompts } from './prompts.ts';

const STOPPED = 143;
// Answers that are nearly there are paid for: they are waited for, within a pod's usual 30 seconds.
const DRAIN_MS = 20_000;

const log = pino({ base: null, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: (label: string) => ({ level: label }) } }, pino.destination({ dest: 2, sync: true }));

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { worker: { type: 'string' }, help: { type: 'boolean' } } });
  const [file] = positionals;
  if (values.help === true || file === undefined || positionals.length > 1) {
    process.stdout.write('Usage: main.ts CONFIG.json [--worker N]\n');
    return values.help === true ? 0 : 2;
  }
  const config = readConfig(file, generateConfig);
  const worker = workerOf(values.worker ?? process.env['JOB_COMPLETION_INDEX'] ?? '0', config.workers);
  for (const names of sameModels(config)) log.warn({ policies: names }, 'these policies are one model at one endpoint: the corpus will ask to tell it from itself');
  const { stop, abort } = stopSignals();
  const reason = await generate(config, worker, { stop, abort });
  return reason === 'stopped' ? STOPPED : 0;
}

async function generate(config: GenerateConfig, worker: number, { stop, abort }: { stop: AbortSignal; abort: AbortSignal }): Promise<EndReason> {
  const corpus = await prepare(config, worker, stop);
  if (corpus === undefined) return 'stopped';
  const plan = planOf(corpus);
  const all = blocksOf(plan);
  const blocks = ownBlocks(all, worker, config.workers);
  log.info({ worker, workers: config.workers, prompts: corpus.store.count, repeated: corpus.store.repeated, shards: blocks.length }, 'starting');
  const prompts = await openPrompts(promptsFolder(config.output), corpus.store);
  const client = createClient(config.policies, config.answerBytes);
  const engine = await Engine.start({ world: { config, corpus, plan, prompts }, client, blocks, allPrefixes: plan.prompts, stop, abort, now: Date.now, random: Math.random, log });
  try {
    return await withProgress(config, { engine, worker }, () => writeManifest(config.output, corpus, all.length));
  } finally {
    await client.close();
    await prompts.close();
  }
}

/** Prints a line now, every few seconds, and when the engine and what comes after it are done. */
async function withProgress(config: GenerateConfig, { engine, worker }: { engine: Engine; worker: number }, afterwards: () => Promise<void>): Promise<EndReason> {
  const progress = createProgress(config, engine, worker, Date.now);
  const print = (reason?: EndReason): void => { process.stdout.write(`${progress.line(reason)}\n`); };
  print();
  const timer = setInterval(print, config.progressSeconds * 1000);
  try {
    const reason = await engine.run();
    await afterwards();
    print(reason);
    return reason;
  } finally {
    clearInterval(timer);
  }
}

/** Names of policies that ask for the same model at the same endpoint in the same way. */
function sameModels({ policies }: GenerateConfig): string[][] {
  return [...Map.groupBy(policies, ({ url, model, api, systemPrompt }) => JSON.stringify([url, model, api, systemPrompt])).values()].filter((same) => same.length > 1).map((same) => same.map(({ name }) => name));
}

function workerOf(text: string, workers: number): number {
  if (!/^\d{1,6}$/.test(text) || Number(text) >= workers) throw new ConfigError(`--worker: expected a number below workers (${String(workers)}), got ${JSON.stringify(text)}`);
  return Number(text);
}

/** The first SIGTERM or SIGINT stops asking, what is under way has some seconds; the second ends that, too. */
function stopSignals(): { stop: AbortSignal; abort: AbortSignal } {
  const [stop, abort] = [new AbortController(), new AbortController()];
  const end = (signal: NodeJS.Signals): void => {
    if (stop.signal.aborted) abort.abort();
    log.info({ signal }, 'stopping');
    stop.abort();
    setTimeout(() => { abort.abort(); }, DRAIN_MS).unref();
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  return { stop: stop.signal, abort: abort.signal };
}

function exitCodeOf(error: unknown): number {
  if (error instanceof DataError) return EXIT_CODES.DataInvalid;
  if (error instanceof ConfigError) return EXIT_CODES.ConfigInvalid;
  return error instanceof StorageFullError ? EXIT_CODES.StorageFull : EXIT_CODES.Crashed;
}

main().then((code) => process.exit(code), (error: unknown) => {
  log.error({ err: error }, error instanceof Error ? error.message : String(error));
  process.exit(exitCodeOf(error));
});
