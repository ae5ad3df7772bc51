// An OpenAI-compatible endpoint for tests: what it answers is a function of model, prompt and seed; models named after a fault misbehave.
// As a program (node generateEndpoint.ts) it prints its port and serves until its parent ends.
import { hash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';

const asked = z.looseObject({ model: z.string(), prompt: z.string().optional(), messages: z.array(z.object({ role: z.string(), content: z.string() })).optional(), seed: z.int().optional(), max_tokens: z.int() });
export type Asked = z.output<typeof asked>;

export interface Endpoint {
  readonly url: string;
  /** Requests that came, by model. */
  readonly asked: Asked[];
  readonly headers: IncomingMessage['headers'][];
  /** Requests that were open at once, at most. */
  mostOpen: number;
  /** Faults by model; may be changed while it serves. */
  readonly faults: Map<string, Fault>;
  readonly close: () => Promise<void>;
}

/** Takes over an answer; false leaves it to the honest way. */
export type Fault = (request: Asked, response: ServerResponse, count: number) => boolean;

const WORDS = ['sea', 'wide', 'ship', 'goes', 'slowly', 'over', 'the', 'old', 'harbour', 'wall', 'and', 'nobody', 'looks', 'up', 'again', 'today'];

/** The text of a model for a prompt and a seed. */
export function textOf({ model, prompt, messages, seed }: Pick<Asked, 'model' | 'prompt' | 'messages' | 'seed'>): string {
  const digest = hash('sha256', JSON.stringify([model, prompt, messages, seed]), 'buffer');
  return ` ${[...digest].map((byte) => WORDS[byte % WORDS.length]).join(' ')}.`;
}

export function answerTo(request: Asked, text = textOf(request)): string {
  const choice = request.prompt === undefined ? { message: { role: 'assistant', content: text } } : { text };
  return JSON.stringify({ id: 'x', object: 'completion', model: request.model, choices: [{ index: 0, ...choice, finish_reason: 'stop' }], usage: { prompt_tokens: 7, completion_tokens: 33, total_tokens: 40 } });
}

export async function startEndpoint({ delayMs = (): number => 0, key, keep = true }: { delayMs?: (request: Asked) => number; key?: string; keep?: boolean } = {}): Promise<Endpoint> {
  let open = 0;
  const counts = new Map<string, number>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      open += 1;
      endpoint.mostOpen = Math.max(endpoint.mostOpen, open);
      response.on('close', () => { open -= 1; });
      serve(request, response, asked.parse(JSON.parse(Buffer.concat(chunks).toString())));
    });
  });
  const serve = (request: IncomingMessage, response: ServerResponse, body: Asked): void => {
    if (keep) endpoint.asked.push(body);
    if (keep) endpoint.headers.push(request.headers);
    const count = counts.get(body.model) ?? 0;
    counts.set(body.model, count + 1);
    if (key !== undefined && request.headers.authorization !== `Bearer ${key}`) response.writeHead(401).end('{"error":"no such key"}');
    else if (endpoint.faults.get(body.model)?.(body, response, count) !== true) honest(body, response);
  };
  const honest = (body: Asked, response: ServerResponse): void => {
    const send = (): void => { response.writeHead(200, { 'content-type': 'application/json' }).end(answerTo(body)); };
    const delay = delayMs(body);
    if (delay > 0) setTimeout(send, delay);
    else send();
  };
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const endpoint: Endpoint = {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/v1`, asked: [], headers: [], mostOpen: 0, faults: new Map(),
    close: () => new Promise((resolve) => { server.close(() => { resolve(); }); server.closeAllConnections(); }),
  };
  return endpoint;
}

if (import.meta.main) {
  const endpoint = await startEndpoint({ keep: false });
  process.stdout.write(`${endpoint.url}\n`);
  process.stdin.resume().on('end', () => process.exit(0));
}
