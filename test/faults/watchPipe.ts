// One watch on its way through the proxy, line by line and in order.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Call } from './call.ts';

export interface WatchLine {
  readonly at: number;
  readonly resource: string;
  readonly type: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly text: string;
  /** Number of the watch's request. */
  readonly watch: number;
}

/** What happens to a line. `hold` also holds what follows on that watch, as order within a watch is guaranteed. */
export type LineVerdict =
  | { readonly do: 'pass' | 'drop' | 'twice' | 'cut' }
  | { readonly do: 'replace'; readonly text: string }
  | { readonly do: 'hold'; readonly until: Promise<void> };

interface Options {
  readonly call: Call;
  readonly upstream: IncomingMessage;
  readonly response: ServerResponse;
  readonly judge: (line: WatchLine) => LineVerdict;
  readonly waitFor: () => Promise<void>;
}

interface EventShape {
  readonly type?: string;
  readonly object?: { readonly metadata?: { readonly name?: string; readonly uid?: string; readonly resourceVersion?: string } };
}

export class WatchPipe {
  readonly resource: string;
  readonly #options: Options;
  #hold: Promise<void> = Promise.resolve();
  #hasEnded = false;

  constructor(options: Options) {
    this.#options = options;
    this.resource = options.call.resource;
  }

  cut(): void {
    this.#options.upstream.destroy();
    this.#options.response.destroy();
  }

  /** The server ends the watch in good order. */
  end(): void {
    this.#hasEnded = true;
    this.#options.response.end(() => this.#options.upstream.destroy());
  }

  hold(until: Promise<void>): void {
    this.#hold = Promise.all([this.#hold, until]).then(() => undefined);
  }

  /** Puts a line in between, as if the server had sent it. */
  inject(text: string): void {
    if (!this.#options.response.destroyed && !this.#hasEnded) this.#options.response.write(`${text}\n`);
  }

  /** Runs until either side ends. Never throws. */
  async run(): Promise<void> {
    const { upstream, response } = this.#options;
    response.once('close', () => upstream.destroy());
    try {
      for await (const text of linesOf(upstream)) {
        await this.#pass(text);
        if (response.destroyed) break;
      }
    } catch {
      // The API server went away: the operator's side ends the same way.
      if (!this.#hasEnded) response.destroy();
    }
    response.end();
  }

  async #pass(text: string): Promise<void> {
    const verdict = this.#options.judge(this.#parse(text));
    if (verdict.do === 'hold') this.hold(verdict.until);
    await this.#hold;
    await this.#options.waitFor();
    if (this.#options.response.destroyed) return;
    if (verdict.do === 'drop') return;
    if (verdict.do === 'cut') return this.cut();
    this.inject(verdict.do === 'replace' ? verdict.text : text);
    if (verdict.do === 'twice') this.inject(text);
  }

  #parse(text: string): WatchLine {
    const event = JSON.parse(text) as EventShape;
    const { name = '', uid = '', resourceVersion = '' } = event.object?.metadata ?? {};
    return { at: Date.now(), resource: this.resource, type: event.type ?? '', name, uid, resourceVersion, text, watch: this.#options.call.number };
  }
}

async function* linesOf(message: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  message.setEncoding('utf8');
  for await (const chunk of message) {
    const parts = (rest + String(chunk)).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) if (part !== '') yield part;
  }
}
