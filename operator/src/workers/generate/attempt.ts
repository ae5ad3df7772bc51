// One attempt at one request: booked before it is sent, sent, cleaned, booked again.
import { clean } from './clean.ts';
import type { Client, Outcome } from './client.ts';
import type { PolicyConfig } from './config.ts';
import type { PolicyCount } from './counts.ts';
import type { JournalRow } from './journal.ts';
import type { Job } from './lane.ts';
import { costOf, FREE, type Budget, type Cost, type Most } from './money.ts';
import type { World } from './shard.ts';
import { requestOf, type Answer } from './wire.ts';

export interface AttemptDeps {
  readonly world: World;
  readonly client: Client;
  readonly budget: Budget;
  /** Ends what is under way. */
  readonly abort: AbortSignal;
  readonly now: () => number;
  /** What an attempt added to the counts of its policy. */
  readonly counted: (policy: PolicyConfig, more: PolicyCount) => void;
}

/** Asks once. `spent` when an earlier attempt used the reservation up and the budget has no room for another. */
export async function attempt(deps: AttemptDeps, policy: PolicyConfig, job: Job): Promise<Outcome | 'spent'> {
  const { world, client, budget } = deps;
  if (!job.held && !budget.reserve(job.most)) return 'spent';
  job.held = true;
  const prompt = await world.prompts.prompt(job.ask.prefix);
  await job.shard.willAsk(job.ask, job.most);
  const outcome = await client.send(policy, requestOf(policy, world.config.sampling, prompt, job.ask), deps.abort);
  const { spent, more } = await book(deps, policy, { job, outcome });
  deps.counted(policy, more);
  const free = outcome.kind === 'busy' || outcome.kind === 'unusable' || (outcome.kind === 'failed' && !outcome.charged);
  if (!free) {
    budget.settle(job.most, spent);
    job.held = false;
  }
  return outcome;
}

async function book({ world, now }: AttemptDeps, policy: PolicyConfig, { job, outcome }: { job: Job; outcome: Outcome }): Promise<{ spent: Cost; more: PolicyCount }> {
  const { ask, shard, most } = job;
  if (outcome.kind === 'refused') return { spent: FREE, more: await shard.refused(ask, outcome.reason) };
  if (outcome.kind !== 'answer') {
    const spent = outcome.kind === 'failed' && outcome.charged ? { tokens: most.tokens, money: most.money } : FREE;
    return { spent, more: await shard.failed(ask, spent) };
  }
  const used = usageOf(outcome.answer, most);
  const spent = costOf(policy, used.tokensIn ?? most.tokensIn, used.tokensOut ?? Math.min(most.tokensOut, Buffer.byteLength(outcome.answer.text) + 1));
  const { text, truncated, cut } = clean(outcome.answer.text, outcome.answer.finishReason === 'length', world.config.cleaning);
  const row: JournalRow = { output: text, finishReason: outcome.answer.finishReason, truncated, cut, ...used, model: outcome.answer.model, time: now() };
  return { spent, more: await shard.answered(ask, row, spent) };
}

/** Token counts that can be: what an endpoint says beyond that is not believed. */
function usageOf({ text, tokensIn, tokensOut }: Answer, most: Most): Pick<Answer, 'tokensIn' | 'tokensOut'> {
  const outOk = tokensOut !== null && tokensOut <= most.tokensOut && (tokensOut > 0 || text === '');
  return { tokensIn: tokensIn !== null && tokensIn <= most.tokensIn ? tokensIn : null, tokensOut: outOk ? tokensOut : null };
}
