// Sends a pod's status to the API server, the newest one only, until it is accepted or the pod is gone.
import { ApiError } from './api.ts';
import type { Api } from './api.ts';
import { sleep } from './clock.ts';
import { reasonOf } from './log.ts';
import type { Log } from './log.ts';
import { keyOf } from './objects.ts';
import type { Pod, PodStatus } from './objects.ts';

const FIRST_DELAY_MS = 200;
const MAX_DELAY_MS = 5_000;
/** Gone, another pod of that name, or a status this API server will never take. */
const FINAL: ReadonlySet<number> = new Set([404, 409, 422]);

/** Invariant: at most one request is under way, and after the last mark() a request with that status or a later one follows. */
export class StatusWriter {
  readonly #api: Api;
  readonly #pod: Pod;
  readonly #current: () => PodStatus;
  readonly #log: Log;
  readonly #given: AbortSignal;
  #dirty = false;
  #sending: Promise<void> | undefined;
  #sent = '';

  constructor(api: Api, pod: Pod, options: { current: () => PodStatus; log: Log; signal: AbortSignal }) {
    this.#api = api;
    this.#pod = pod;
    this.#current = options.current;
    this.#log = options.log;
    this.#given = options.signal;
  }

  /** Something changed. */
  mark(): void {
    this.#dirty = true;
    this.#sending ??= this.#drain().finally(() => { this.#sending = undefined; });
  }

  /** Resolves when the newest status was accepted, or can no longer be. */
  async flush(): Promise<void> {
    this.mark();
    await this.#sending;
  }

  async #drain(): Promise<void> {
    // one turn later, so that changes made together travel together
    await sleep(0);
    for (let failures = 0; this.#dirty && !this.#given.aborted;) {
      this.#dirty = false;
      try {
        await this.#send();
        failures = 0;
      } catch (error) {
        if (error instanceof ApiError && FINAL.has(error.status)) {
          this.#log('error', 'status refused', { pod: keyOf(this.#pod), reason: error.message });
          return;
        }
        this.#log('warn', 'status not sent, trying again', { pod: keyOf(this.#pod), reason: reasonOf(error) });
        this.#dirty = true;
        failures += 1;
        await sleep(Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** failures), this.#given);
      }
    }
  }

  async #send(): Promise<void> {
    const { name, namespace, uid } = this.#pod.metadata;
    const status = this.#current();
    const text = JSON.stringify(status);
    if (text === this.#sent) return;
    await this.#api.patch(`/api/v1/namespaces/${namespace}/pods/${name}/status`, { metadata: { uid }, status }, 'strategic');
    this.#sent = text;
  }
}
