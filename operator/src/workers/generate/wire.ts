// OpenAI-compatible requests and answers, as vLLM, SGLang, llama.cpp and hosted endpoints speak them (top_k is their common extension).
import { z } from 'zod';
import type { GenerateConfig, PolicyConfig } from './config.ts';
import type { Ask } from './plan.ts';
import type { Prompt } from './prompts.ts';

export interface Answer {
  readonly text: string;
  readonly finishReason: string;
  /** What the endpoint says served the request. */
  readonly model: string | null;
  /** null when the endpoint does not say, or says what cannot be. */
  readonly tokensIn: number | null;
  readonly tokensOut: number | null;
}

export interface Request { readonly path: '/completions' | '/chat/completions'; readonly body: string }

/** The request for one sample. */
export function requestOf(policy: PolicyConfig, sampling: GenerateConfig['sampling'], prompt: Prompt, ask: Ask): Request {
  const common = {
    model: policy.model, max_tokens: sampling.maxTokens, temperature: Number(sampling.temperature), top_p: Number(sampling.topP), n: 1, stream: false,
    ...(policy.omit.includes('top_k') ? {} : { top_k: sampling.topK }),
    ...(policy.omit.includes('seed') ? {} : { seed: ask.seed }),
  };
  if (policy.api === 'completions') return { path: '/completions', body: JSON.stringify({ ...common, prompt: prompt.prompt }) };
  const system = policy.systemPrompt === undefined ? [] : [{ role: 'system', content: policy.systemPrompt }];
  return { path: '/chat/completions', body: JSON.stringify({ ...common, messages: [...system, ...(prompt.messages ?? [{ role: 'user', content: prompt.prompt }])] }) };
}

// Parts that a row can do without are read leniently: what is wrong there is not known.
const count = z.int().min(0).max(2 ** 31 - 1).nullish().catch(null);
const common = { model: z.string().max(1024).nullish().catch(null), usage: z.object({ prompt_tokens: count, completion_tokens: count }).nullish().catch(null) };
const finish = z.string().max(256).nullish();
const completion = z.object({ ...common, choices: z.array(z.object({ text: z.string(), finish_reason: finish })).length(1) });
const chat = z.object({ ...common, choices: z.array(z.object({ message: z.object({ content: z.string() }), finish_reason: finish })).length(1) });

/** An answer out of a body. Error says what was expected of it. */
export function answerOf(api: PolicyConfig['api'], body: Uint8Array): Answer {
  const json: unknown = parse(body);
  const { text, finishReason, whole } = api === 'completions' ? read(completion.safeParse(json), (one) => one.text) : read(chat.safeParse(json), (one) => one.message.content);
  return { text: text.toWellFormed(), finishReason: finishReason ?? 'unknown', model: whole.model ?? null, tokensIn: whole.usage?.prompt_tokens ?? null, tokensOut: whole.usage?.completion_tokens ?? null };
}

interface Whole<C> { readonly choices: readonly C[]; readonly model?: string | null | undefined; readonly usage?: { prompt_tokens?: number | null | undefined; completion_tokens?: number | null | undefined } | null | undefined }

function read<C extends { readonly finish_reason?: string | null | undefined }>(result: z.ZodSafeParseResult<Whole<C>>, textOf: (choice: C) => string): { text: string; finishReason: string | null | undefined; whole: Whole<C> } {
  const choice = result.data?.choices[0];
  if (result.data === undefined || choice === undefined) throw new Error(`not a completion: ${result.error?.issues.slice(0, 2).map((one) => `${one.path.join('.') || 'body'}: ${one.message}`).join('; ') ?? 'no choices'}`);
  return { text: textOf(choice), finishReason: choice.finish_reason, whole: result.data };
}

function parse(body: Uint8Array): unknown {
  if (body.length === 0) throw new Error('an empty body');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new Error('a body that is not UTF-8');
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(/^\s*</.test(text) ? 'HTML instead of JSON' : 'a body that is not JSON');
  }
}
