// One shard in the making: what earlier starts left of it, its journal, and its next part.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { GenerateConfig } from './config.ts';
import { addTo, noCount, showCount, type PolicyCount } from './counts.ts';
import { isTemporary } from './durable.ts';
import { Journal, namesIn, readJournal, type Entry, type JournalRow } from './journal.ts';
import { costOut, Ledger } from './ledger.ts';
import { journalsFolder, manifestsFolder, partsOfName, shardName, VERSION, type Corpus, type PartManifest } from './manifest.ts';
import { add, FREE, moneyOf, showMoney, type Cost } from './money.ts';
import { describe, fileOf, JournalRows, readParts, writePartFile, type PartFacts } from './part.ts';
import { asksOf, SAMPLES, type Ask, type Block, type PlanInput } from './plan.ts';
import type { Prompts } from './prompts.ts';
import { promptIdOf, type Row } from './rows.ts';

export interface World { readonly config: GenerateConfig; readonly corpus: Corpus; readonly plan: PlanInput; readonly prompts: Prompts }

export class Shard {
  readonly block: Block;
  readonly #world: World;
  readonly #parts: readonly PartManifest[];
  readonly #ledger: Ledger;
  readonly #journals: number[] = [];
  #journal: Promise<Journal> | undefined;
  /** Journal lines that are damaged: what they said is asked again. */
  damaged = 0;

  private constructor(world: World, block: Block, parts: readonly PartManifest[]) {
    this.block = block;
    this.#world = world;
    this.#parts = parts;
    this.#ledger = new Ledger(SAMPLES * (block.to - block.from), world.config.policies.map(({ model }) => model), Buffer.from(parts.at(-1)?.settled ?? '', 'base64'));
  }

  /** Reads what earlier starts left. ConfigError when a finished part is missing or damaged. */
  static async open(world: World, block: Block): Promise<Shard> {
    const { output } = world.config;
    const mine = shardName(block.number, 0).slice(0, -1);
    for (const place of [join(output, block.split), manifestsFolder(output)]) {
      for (const name of await namesIn(place)) if (name.startsWith(mine) && isTemporary(name)) await rm(join(place, name), { force: true });
    }
    const shard = new Shard(world, block, await readParts(output, world.corpus.id, block));
    await shard.#readJournals();
    return shard;
  }

  isMissing(prefix: number, slot: number): boolean {
    return !this.#ledger.isSettled(this.#request(prefix, slot));
  }

  /** Requests that are not settled yet. */
  get missing(): number {
    return this.#ledger.missing;
  }

  /** Rows that stand in journals and in no part. */
  get unwritten(): number {
    return this.#ledger.rows.size;
  }

  get hasParts(): boolean {
    return this.#parts.length > 0;
  }

  /** What each policy gave and cost so far, in parts and journals, by name. */
  counts(): Map<string, PolicyCount> {
    const sums = new Map<string, PolicyCount>();
    const into = (name: string, more: PolicyCount): void => {
      const sum = sums.get(name) ?? noCount();
      addTo(sum, more);
      sums.set(name, sum);
    };
    for (const [p, count] of this.#ledger.counts) into(this.#world.config.policies[p]?.name ?? '', count);
    const cost = ({ tokens, money }: { tokens: number; money: string }): Cost => ({ tokens, money: moneyOf(money) });
    for (const part of this.#parts) for (const [name, count] of Object.entries(part.policies)) into(name, { ...count, spent: cost(count.spent), lost: cost(count.lost) });
    return sums;
  }

  /** Before a request is sent: on disk, so that the next start knows its cost even when nothing else came of it. */
  async willAsk(ask: Ask, cost: Cost): Promise<void> {
    await this.#book({ kind: 'ask', ...this.#names(ask), cost: costOut(cost) });
  }

  answered(ask: Ask, row: JournalRow, cost: Cost): Promise<PolicyCount> {
    return this.#book({ kind: 'row', ...this.#names(ask), cost: costOut(cost), row });
  }

  refused(ask: Ask, reason: string): Promise<PolicyCount> {
    return this.#book({ kind: 'refused', ...this.#names(ask), reason });
  }

  /** An attempt that gave nothing; it may have cost something. */
  failed(ask: Ask, cost: Cost): Promise<PolicyCount> {
    return this.#book({ kind: 'failed', ...this.#names(ask), cost: costOut(cost) });
  }

  /** Writes the rows of the journals as the next part; the journals go. Undefined when another process wrote that part first. */
  async writePart(): Promise<PartManifest | undefined> {
    await this.close();
    const { output } = this.#world.config;
    const file = fileOf(this.block, this.#parts.length);
    const reader = new JournalRows((number) => this.#journalPath(number));
    try {
      if (!(await writePartFile(output, file, this.#facts(), this.#rows(reader)))) return undefined;
    } finally {
      await reader.close();
    }
    const manifest = await describe(output, file);
    for (const journal of this.#journals) await rm(this.#journalPath(journal), { force: true });
    return manifest;
  }

  /** Waits until all that was booked is on disk. */
  async close(): Promise<void> {
    const journal = this.#journal;
    this.#journal = undefined;
    await (await journal)?.close();
  }

  #request(prefix: number, slot: number): number {
    return SAMPLES * (prefix - this.block.from) + slot;
  }

  #names({ prefix, slot, policy }: Ask): { r: number; p: number } {
    return { r: this.#request(prefix, slot), p: policy };
  }

  #journalPath(number: number): string {
    return join(journalsFolder(this.#world.config.output), `${shardName(this.block.number, number)}.journal`);
  }

  async #readJournals(): Promise<void> {
    const covered = new Set(this.#parts.flatMap(({ journals }) => journals));
    const found = (await namesIn(journalsFolder(this.#world.config.output))).map(partsOfName).filter((one) => one !== undefined).filter(({ shard }) => shard === this.block.number);
    for (const number of found.map(({ part }) => part).sort((a, b) => a - b)) {
      if (covered.has(number)) {
        await rm(this.#journalPath(number), { force: true });
        continue;
      }
      this.#journals.push(number);
      const { damaged } = await readJournal(this.#journalPath(number), (what, span) => { this.#ledger.take(what, { ...span, journal: number }); });
      this.#ledger.endJournal();
      this.damaged += damaged;
    }
  }

  async #book(what: Entry): Promise<PolicyCount> {
    this.#journal ??= this.#newJournal();
    const number = this.#journals.at(-1) ?? 0;
    const span = await (await this.#journal).append(what);
    return this.#ledger.take(what, { ...span, journal: number });
  }

  #newJournal(): Promise<Journal> {
    const number = Math.max(-1, ...this.#journals, ...this.#parts.flatMap(({ journals }) => journals)) + 1;
    this.#journals.push(number);
    return Journal.create(this.#journalPath(number));
  }

  #facts(): PartFacts {
    const { corpus, config } = this.#world;
    const policies = [...this.#ledger.counts].map(([p, count]) => [config.policies[p]?.name ?? '', count] as const);
    const spent = policies.reduce((sum, [, count]) => add(sum, add(count.spent, count.lost)), FREE);
    return {
      version: VERSION, corpus: corpus.id, shard: this.block.number, part: this.#parts.length, split: this.block.split, rows: this.unwritten,
      prefixes: { from: this.block.from, to: this.block.to }, settled: this.#ledger.bits().toString('base64'), complete: this.missing === 0, journals: this.#journals,
      policies: Object.fromEntries(policies.map(([name, count]) => [name, showCount(count)])), spent: { tokens: spent.tokens, money: showMoney(spent.money) },
      firstAnswer: new Date(Math.min(this.#ledger.firstAnswer, this.#ledger.lastAnswer)).toISOString(), lastAnswer: new Date(this.#ledger.lastAnswer).toISOString(),
    };
  }

  async *#rows(reader: JournalRows): AsyncGenerator<Row> {
    const { plan, prompts, config } = this.#world;
    for (let prefix = this.block.from; prefix < this.block.to; prefix += 1) {
      const places = [0, 1, 2].map((slot) => this.#ledger.rows.get(this.#request(prefix, slot)));
      if (places.every((place) => place === undefined)) continue;
      const prompt = await prompts.prompt(prefix);
      const base = { prompt: prompt.prompt, promptId: promptIdOf(prompt.prompt), wrapper: prompt.kind === 'text' ? 'pretrain' : 'sft', split: this.block.split, prefix, messages: prompt.messages, source: null } as const;
      for (const ask of asksOf(plan, prefix, prompt.kind)) {
        const place = places[ask.slot];
        if (place === undefined) continue;
        const { model, time, ...rest } = await reader.read(place);
        yield { ...base, ...rest, policy: config.policies[ask.policy]?.name ?? '', sample: ask.sample, seed: ask.seed, endpointModel: model, time: new Date(time) };
      }
    }
  }
}
