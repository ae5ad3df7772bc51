// Tokens and money: what may be spent is reserved before a request is sent, so that no budget is ever passed.
import type { GenerateConfig, PolicyConfig } from './config.ts';

/** Money in millionths of a millionth of the unit of the prices, so that a price per million tokens is whole per token. */
export interface Cost { readonly tokens: number; readonly money: bigint }

export const FREE: Cost = { tokens: 0, money: 0n };
const UNIT = 1_000_000_000_000n;
// Chat templates add tokens around messages.
const TEMPLATE_TOKENS = 64;

/** Decimal text to units of the cost. */
export function moneyOf(decimal: string): bigint {
  const [whole = '0', fraction = ''] = decimal.split('.');
  return BigInt(whole) * UNIT + BigInt(fraction.padEnd(12, '0'));
}

/** The way back, with at least two and at most twelve digits behind the point. */
export function showMoney(money: bigint): string {
  const fraction = (money % UNIT).toString().padStart(12, '0').replace(/0{1,10}$/, '');
  return `${(money / UNIT).toString()}.${fraction}`;
}

/** What tokens of a policy cost. */
export function costOf(policy: PolicyConfig, tokensIn: number, tokensOut: number): Cost {
  const money = (BigInt(tokensIn) * moneyOf(policy.promptPricePerMillion) + BigInt(tokensOut) * moneyOf(policy.outputPricePerMillion)) / 1_000_000n;
  return { tokens: tokensIn + tokensOut, money };
}

/** What one request can cost at most. */
export interface Most extends Cost { readonly tokensIn: number; readonly tokensOut: number }

/** A token is at least one byte long, and generation ends at maxTokens. */
export function mostFor(policy: PolicyConfig, promptBytes: number, maxTokens: number): Most {
  const tokensIn = promptBytes + Buffer.byteLength(policy.systemPrompt ?? '') + TEMPLATE_TOKENS;
  return { ...costOf(policy, tokensIn, maxTokens), tokensIn, tokensOut: maxTokens };
}

export const add = (a: Cost, b: Cost): Cost => ({ tokens: a.tokens + b.tokens, money: a.money + b.money });

/** A worker's part of a budget, by its part of the prefixes. */
export function partOf(budget: GenerateConfig['budget'], prefixes: number, all: number): Partial<Cost> {
  return {
    ...(budget.tokens === undefined ? {} : { tokens: Number((BigInt(budget.tokens) * BigInt(prefixes)) / BigInt(all)) }),
    ...(budget.money === undefined ? {} : { money: (moneyOf(budget.money) * BigInt(prefixes)) / BigInt(all) }),
  };
}

/** What is spent and reserved; spent plus reserved never passes the limit by a reservation. */
export class Budget {
  readonly #limit: Partial<Cost>;
  #spent: Cost;
  #reserved: Cost = FREE;

  constructor(limit: Partial<Cost>, spent: Cost) {
    this.#limit = limit;
    this.#spent = spent;
  }

  get spent(): Cost {
    return this.#spent;
  }

  /** False, and nothing is reserved, when the limit does not allow it. */
  reserve(cost: Cost): boolean {
    const { tokens, money } = add(add(this.#spent, this.#reserved), cost);
    if (tokens > (this.#limit.tokens ?? Infinity) || (this.#limit.money !== undefined && money > this.#limit.money)) return false;
    this.#reserved = add(this.#reserved, cost);
    return true;
  }

  /** Gives a reservation back and books what was spent of it. */
  settle(reserved: Cost, spent: Cost): void {
    this.#reserved = { tokens: this.#reserved.tokens - reserved.tokens, money: this.#reserved.money - reserved.money };
    this.#spent = add(this.#spent, spent);
  }
}
