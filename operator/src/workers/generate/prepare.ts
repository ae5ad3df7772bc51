// The beginning of a corpus: worker 0 makes the prompts and fixes what may not change, the others wait for it.
import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GenerateConfig } from './config.ts';
import { storageError, writeWhole } from './durable.ts';
import { corpusOf, corpusPath, promptsFolder, readCorpus, type Corpus } from './manifest.ts';
import { preparePrompts } from './prompts.ts';

const POLL_MS = 500;

/** The corpus in the output folder, begun here when there is none and this is worker 0. ConfigError when it is another one. Undefined when asked to stop. */
export async function prepare(config: GenerateConfig, worker: number, stop: AbortSignal): Promise<Corpus | undefined> {
  for (let known = await readCorpus(config); !stop.aborted; known = await readCorpus(config)) {
    if (known !== undefined) return known;
    if (worker === 0) return begin(config);
    await sleep(POLL_MS);
  }
  return undefined;
}

async function begin(config: GenerateConfig): Promise<Corpus> {
  await mkdir(config.output, { recursive: true }).catch((error: unknown) => { throw storageError(config.output, error); });
  const { store, sources } = await preparePrompts(config.prompts, config.seed, promptsFolder(config.output));
  const corpus = corpusOf(config, store, sources);
  await writeWhole(corpusPath(config.output), `${JSON.stringify(corpus, null, 1)}\n`);
  return corpus;
}
