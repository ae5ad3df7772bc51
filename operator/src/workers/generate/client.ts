// One attempt at one request over HTTP. Whatever an endpoint does, this ends within its time with one of five outcomes.
import { readFile } from 'node:fs/promises';
import { Agent, type Dispatcher } from 'undici';
import { retryAfterMs } from './breaker.ts';
import type { PolicyConfig } from './config.ts';
import { answerOf, type Answer, type Request } from './wire.ts';

/** `charged`: the endpoint may have generated and counted tokens that nobody has seen. */
export type Outcome =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'unusable'; readonly reason: string }
  | { readonly kind: 'busy'; readonly reason: string; readonly retryAfterMs: number | undefined }
  | { readonly kind: 'failed'; readonly reason: string; readonly charged: boolean };

export interface Client {
  readonly send: (policy: PolicyConfig, request: Request, stop: AbortSignal) => Promise<Outcome>;
  readonly close: () => Promise<void>;
}

const SHOWN = 200;
// Errors from before the request was on its way.
const NOT_SENT: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'UND_ERR_CONNECT_TIMEOUT', 'ERR_TLS_CERT_ALTNAME_INVALID', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_HAS_EXPIRED']);

/** A client for all policies; `answerBytes` bounds what is read of an answer. */
export function createClient(policies: readonly PolicyConfig[], answerBytes: number): Client {
  const agent = new Agent({ connections: policies.reduce((sum, one) => sum + one.concurrency, 0), pipelining: 1, headersTimeout: 0, bodyTimeout: 0, connectTimeout: 10_000, maxResponseSize: answerBytes });
  const keys = new Map<string, Promise<string>>();
  const keyOf = (policy: PolicyConfig): Promise<string> | undefined => {
    if (policy.keyPath === undefined) return undefined;
    const known = keys.get(policy.keyPath) ?? readKey(policy.keyPath);
    keys.set(policy.keyPath, known);
    return known;
  };
  const send = async (policy: PolicyConfig, { path, body }: Request, stop: AbortSignal): Promise<Outcome> => {
    let key: string | undefined;
    try {
      key = await keyOf(policy);
    } catch (error) {
      keys.delete(policy.keyPath ?? '');
      return { kind: 'unusable', reason: error instanceof Error ? error.message : String(error) };
    }
    const outcome = await exchange(agent, { policy, url: policy.url.replace(/\/$/, '') + path, body, key }, { stop, answerBytes });
    if (outcome.kind === 'unusable' && policy.keyPath !== undefined) keys.delete(policy.keyPath);
    return outcome;
  };
  return { send, close: () => agent.destroy() };
}

interface Sending { readonly policy: PolicyConfig; readonly url: string; readonly body: string; readonly key: string | undefined }

async function exchange(agent: Agent, { policy, url, body, key }: Sending, { stop, answerBytes }: { stop: AbortSignal; answerBytes: number }): Promise<Outcome> {
  const limit = new AbortController();
  const end = (): void => { limit.abort(); };
  const timer = setTimeout(end, policy.timeoutSeconds * 1000);
  stop.addEventListener('abort', end, { once: true });
  try {
    const headers = { 'content-type': 'application/json', accept: 'application/json', ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) };
    const response = await agent.request({ origin: new URL(url).origin, path: new URL(url).pathname + new URL(url).search, method: 'POST', headers, body, signal: limit.signal });
    const bytes = await readBody(response, response.statusCode === 200 ? answerBytes : 4096);
    return judge(policy, response, bytes);
  } catch (error) {
    return failure(error, { timedOut: limit.signal.aborted && !stop.aborted, policy, answerBytes });
  } finally {
    clearTimeout(timer);
    stop.removeEventListener('abort', end);
  }
}

/** undefined when there is more than `most`; of an error's body the beginning is enough. */
async function readBody({ body, statusCode }: Dispatcher.ResponseData, most: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    chunks.push(chunk as Buffer);
    length += (chunk as Buffer).length;
    if (length > most) {
      body.on('error', () => undefined).destroy();
      return statusCode === 200 ? undefined : Buffer.concat(chunks).subarray(0, most);
    }
  }
  return Buffer.concat(chunks);
}

function judge(policy: PolicyConfig, { statusCode, headers }: Dispatcher.ResponseData, bytes: Buffer | undefined): Outcome {
  if (statusCode === 200) return judgeAnswer(policy, bytes);
  const reason = `HTTP ${String(statusCode)}${said(bytes)}`;
  const after = headers['retry-after'];
  const wait = retryAfterMs(Array.isArray(after) ? after[0] : after, Date.now());
  if (statusCode === 429 || (statusCode === 503 && wait !== undefined)) return { kind: 'busy', reason, retryAfterMs: wait };
  if ([401, 403, 404, 405, 410].includes(statusCode)) return { kind: 'unusable', reason };
  if ([400, 413, 422].includes(statusCode)) return { kind: 'refused', reason };
  return { kind: 'failed', reason, charged: false };
}

function judgeAnswer(policy: PolicyConfig, bytes: Buffer | undefined): Outcome {
  if (bytes === undefined) return { kind: 'failed', reason: 'an answer longer than answerBytes', charged: true };
  try {
    return { kind: 'answer', answer: answerOf(policy.api, bytes) };
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error), charged: true };
  }
}

/** The beginning of an error's body without control characters. */
function said(bytes: Buffer | undefined): string {
  const text = (bytes ?? Buffer.alloc(0)).toString().replaceAll(/[\p{Cc}\s]+/gu, ' ').trim().slice(0, SHOWN);
  return text === '' ? '' : `: ${text.toWellFormed()}`;
}

function failure(error: unknown, { timedOut, policy, answerBytes }: { timedOut: boolean; policy: PolicyConfig; answerBytes: number }): Outcome {
  if (timedOut) return { kind: 'failed', reason: `no whole answer within ${String(policy.timeoutSeconds)} s`, charged: true };
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return { kind: 'failed', reason: `an answer longer than ${String(answerBytes)} bytes`, charged: true };
  return { kind: 'failed', reason: error instanceof Error ? `${error.message}${typeof code === 'string' && !error.message.includes(code) ? ` (${code})` : ''}`.slice(0, SHOWN) : 'an unknown error', charged: !NOT_SENT.has(code) };
}

/** An API key. Error names the file, and never what is in it. */
async function readKey(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => { throw new Error(`cannot read the key: ${error instanceof Error ? error.message : String(error)}`); });
  const key = text.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Error(`${path}: expected a key of printable ASCII characters`);
  return key;
}
