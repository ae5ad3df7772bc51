// The worker: feeds the missing requests of its shards to the policies' lanes, within the budget, and writes a shard when its last request is over.
import { attempt, type AttemptDeps } from './attempt.ts';
import type { Client } from './client.ts';
import { addTo, noCount, type PolicyCount } from './counts.ts';
import { Lane, type Job } from './lane.ts';
import { add, Budget, FREE, mostFor, partOf } from './money.ts';
import { asksOf, SAMPLES, type Block } from './plan.ts';
import { Shard, type World } from './shard.ts';

export type EndReason = 'complete' | 'budget' | 'partial' | 'stopped';

/** What a worker knows of its part of a corpus, for progress lines. */
export interface Tally {
  readonly requests: number;
  /** Settled: answered, or refused for good. */
  settled: number;
  readonly shards: number;
  shardsComplete: number;
  shardsOpen: number;
  readonly policies: Map<string, PolicyCount>;
}

export interface EngineDeps {
  readonly world: World;
  readonly client: Client;
  readonly blocks: readonly Block[];
  /** Prefixes of all workers, for this worker's part of the budget. */
  readonly allPrefixes: number;
  /** Asks it to end: nothing more is sent. */
  readonly stop: AbortSignal;
  /** Ends what is under way, too. */
  readonly abort: AbortSignal;
  readonly now: () => number;
  readonly random: () => number;
  readonly log: { warn: (fields: object, message: string) => void; info: (fields: object, message: string) => void };
}

interface Open { readonly shard: Shard; pending: number; fed: boolean; readonly over: () => void }

export class Engine {
  readonly tally: Tally;
  readonly lanes: readonly Lane[];
  readonly #deps: EngineDeps;
  readonly #budget: Budget;
  readonly #open = new Map<Shard, Open>();
  readonly #complete = new Set<number>();
  #wake: (() => void) | undefined;
  #exhausted = false;
  #failure: { readonly error: unknown } | undefined;

  private constructor(deps: EngineDeps, tally: Tally, complete: ReadonlySet<number>) {
    this.#deps = deps;
    this.tally = tally;
    for (const number of complete) this.#complete.add(number);
    const { config } = deps.world;
    const prefixes = deps.blocks.reduce((sum, { from, to }) => sum + to - from, 0);
    const spent = [...tally.policies.values()].reduce((sum, count) => add(sum, add(count.spent, count.lost)), FREE);
    this.#budget = new Budget(partOf(config.budget, prefixes, deps.allPrefixes), spent);
    const attempts: AttemptDeps = { world: deps.world, client: deps.client, budget: this.#budget, abort: deps.abort, now: deps.now, counted: (policy, more) => { this.#counted(policy.name, more); } };
    this.lanes = config.policies.map((policy) => new Lane({
      policy, retries: config.retries, perSecond: policy.requestsPerSecond === undefined ? undefined : Number(policy.requestsPerSecond) / config.workers,
      attempt: (job) => attempt(attempts, policy, job), over: (job, settled) => { this.#over(job, settled); }, broken: (error) => { this.#fail(error); }, now: deps.now, random: deps.random,
    }));
    deps.stop.addEventListener('abort', () => { this.#stopLanes(); }, { once: true });
  }

  /** Reads what earlier starts left, for the budget and the tally. */
  static async start(deps: EngineDeps): Promise<Engine> {
    const requests = SAMPLES * deps.blocks.reduce((sum, { from, to }) => sum + to - from, 0);
    const tally: Tally = { requests, settled: 0, shards: deps.blocks.length, shardsComplete: 0, shardsOpen: 0, policies: new Map(deps.world.config.policies.map(({ name }) => [name, noCount()])) };
    const complete = new Set<number>();
    for (const block of deps.blocks) {
      const shard = await Shard.open(deps.world, block);
      tally.settled += SAMPLES * (block.to - block.from) - shard.missing;
      for (const [name, count] of shard.counts()) addTo(tally.policies.get(name) ?? noCount(), count);
      if (shard.damaged > 0) deps.log.warn({ shard: block.number, lines: shard.damaged }, 'damaged journal lines, what they said is asked again');
      if (shard.missing === 0 && shard.unwritten === 0) complete.add(block.number);
    }
    tally.shardsComplete = complete.size;
    return new Engine(deps, tally, complete);
  }

  get budget(): Budget {
    return this.#budget;
  }

  /** Works until all is done that can be. Rejects when the worker must end: no room on the volume, damaged files. */
  async run(): Promise<EndReason> {
    await this.#pass();
    if (!this.#ended && !this.#exhausted && this.lanes.some((lane) => lane.parked !== undefined)) {
      // Once more, for policies that came back: a policy that did not is parked again by its first requests.
      for (const lane of this.lanes) if (lane.parked !== undefined) lane.unpark();
      await this.#pass();
    }
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#deps.stop.aborted) return 'stopped';
    if (this.tally.settled === this.tally.requests) return 'complete';
    return this.#exhausted ? 'budget' : 'partial';
  }

  get #ended(): boolean {
    return this.#deps.stop.aborted || this.#failure !== undefined;
  }

  async #pass(): Promise<void> {
    const closings: Promise<void>[] = [];
    for (const block of this.#deps.blocks) {
      if (this.#complete.has(block.number)) continue;
      while (this.#open.size >= this.#deps.world.config.openShards && !this.#ended) await this.#change();
      if (this.#ended || this.#exhausted) break;
      const shard = await Shard.open(this.#deps.world, block);
      closings.push(new Promise((over) => { this.#open.set(shard, { shard, pending: 0, fed: false, over }); }));
      this.tally.shardsOpen += 1;
      await this.#feed(shard);
      this.#closeIfOver(shard);
    }
    await Promise.all(closings);
  }

  async #feed(shard: Shard): Promise<void> {
    const { world } = this.#deps;
    for (let prefix = shard.block.from; prefix < shard.block.to && !this.#ended && !this.#exhausted; prefix += 1) {
      if (![0, 1, 2].some((slot) => shard.isMissing(prefix, slot))) continue;
      const prompt = await world.prompts.prompt(prefix);
      const bytes = Buffer.byteLength(prompt.messages === undefined ? prompt.prompt : JSON.stringify(prompt.messages));
      const jobs = asksOf(world.plan, prefix, prompt.kind).filter(({ slot, policy }) => shard.isMissing(prefix, slot) && this.lanes[policy]?.parked === undefined).map((ask): Job => {
        const policy = world.config.policies[ask.policy];
        if (policy === undefined) throw new Error(`expected policy ${String(ask.policy)}`);
        return { ask, shard, most: mostFor(policy, bytes, world.config.sampling.maxTokens), held: false, attempts: 0 };
      });
      if (await this.#reserve(jobs)) this.#push(shard, jobs);
    }
    const open = this.#open.get(shard);
    if (open !== undefined) open.fed = true;
  }

  /** Room for all requests of a prefix, waiting for answers that give some back; false when none are under way. */
  async #reserve(jobs: readonly Job[]): Promise<boolean> {
    while (!this.#ended) {
      const held = jobs.findIndex((job) => !this.#budget.reserve(job.most));
      for (const job of held < 0 ? [] : jobs.slice(0, held)) this.#budget.settle(job.most, FREE);
      if (held < 0) {
        for (const job of jobs) job.held = true;
        return true;
      }
      if (this.lanes.every((lane) => lane.pending === 0)) {
        this.#exhausted = true;
        return false;
      }
      await this.#change();
    }
    return false;
  }

  #push(shard: Shard, jobs: readonly Job[]): void {
    const open = this.#open.get(shard);
    if (open !== undefined) open.pending += jobs.length;
    for (const job of jobs) this.lanes[job.ask.policy]?.push(job);
  }

  #over(job: Job, settled: boolean): void {
    if (job.held) this.#budget.settle(job.most, FREE);
    job.held = false;
    if (settled) this.tally.settled += 1;
    const open = this.#open.get(job.shard);
    if (open !== undefined) open.pending -= 1;
    this.#closeIfOver(job.shard);
    this.#changed();
  }

  #closeIfOver(shard: Shard): void {
    const open = this.#open.get(shard);
    if (open === undefined || !open.fed || open.pending > 0) return;
    open.fed = false;
    this.#close(shard).catch((error: unknown) => { this.#fail(error); }).finally(() => {
      this.#open.delete(shard);
      this.tally.shardsOpen -= 1;
      open.over();
      this.#changed();
    });
  }

  /** Asked to stop it only closes the journal: the next start goes on in the same shard. */
  async #close(shard: Shard): Promise<void> {
    if (this.#ended || (shard.unwritten === 0 && shard.missing > 0)) {
      await shard.close();
      return;
    }
    const missing = shard.missing;
    const manifest = await shard.writePart();
    if (manifest === undefined) this.#deps.log.warn({ shard: shard.block.number }, 'another process wrote this part first, its rows count and these do not');
    else this.#deps.log.info({ shard: shard.block.number, part: manifest.part, rows: manifest.rows, missing }, 'shard written');
    if (missing > 0) return;
    this.#complete.add(shard.block.number);
    this.tally.shardsComplete += 1;
  }

  #counted(name: string, more: PolicyCount): void {
    const count = this.tally.policies.get(name);
    if (count !== undefined) addTo(count, more);
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stopLanes();
    for (const open of this.#open.values()) open.over();
    this.#changed();
  }

  #stopLanes(): void {
    for (const lane of this.lanes) lane.stop();
    this.#changed();
  }

  #changed(): void {
    this.#wake?.();
  }

  /** Resolves at the next change. */
  #change(): Promise<void> {
    return new Promise((resolve) => { this.#wake = resolve; });
  }
}
