// A cache of a resource that the cluster may or may not serve, now or later: a definition that is installed with other software.
import type { KubeClient } from './client.ts';
import { isNotFound } from './apiError.ts';
import { jittered, sleep } from './clock.ts';
import type { KubeObject, Resource } from './object.ts';
import { Reflector } from './reflector.ts';
import type { ReflectorOptions } from './reflector.ts';

export interface OptionalOptions<T extends KubeObject> extends ReflectorOptions<T> {
  /** Time between two questions whether the resource is served; a minute unless told. */
  readonly lookMs?: number;
}

/** Like a Reflector while the resource is served. While it is not, it counts as synced, holds nothing and asks again every `lookMs`. */
export class OptionalReflector<T extends KubeObject> extends Reflector<T> {
  readonly #client: KubeClient;
  readonly #lookMs: number;
  #served: boolean | undefined;
  #servedSince = 0;
  #lookedAt = 0;

  constructor(options: OptionalOptions<T>) {
    super(options);
    this.#client = options.client;
    this.#lookMs = options.lookMs ?? 60_000;
  }

  /** The resource is served, and the store holds a full list of it. */
  get isServed(): boolean {
    return this.#served === true && super.hasSynced && super.lastSyncAt >= this.#servedSince;
  }

  override get hasSynced(): boolean {
    return this.#served === false || this.isServed;
  }

  /** Of a resource that is not served: when the API server last said so. */
  override get lastSyncAt(): number {
    return this.#served === false ? this.#lookedAt : super.lastSyncAt;
  }

  /** Never throws. */
  override async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const served = await isResourceServed(this.#client, this.resource, signal);
      if (served !== undefined) [this.#served, this.#lookedAt] = [served, Date.now()];
      if (this.#served === true) await this.#runWhileServed(signal);
      else await sleep(jittered(this.#served === undefined ? Math.min(1000, this.#lookMs) : this.#lookMs), signal);
    }
  }

  /** Until the definition is removed; the software that uses it may be installed and removed while the operator runs. */
  async #runWhileServed(signal: AbortSignal): Promise<void> {
    this.#servedSince = Date.now();
    const gone = new AbortController();
    const watching = super.run(AbortSignal.any([signal, gone.signal]));
    while (!signal.aborted && this.#served === true) {
      await sleep(jittered(this.#lookMs), signal);
      if (!signal.aborted && (await isResourceServed(this.#client, this.resource, signal)) === false) [this.#served, this.#lookedAt] = [false, Date.now()];
    }
    gone.abort();
    await watching;
  }
}

/** Undefined when the API server did not answer. */
async function isResourceServed(client: KubeClient, { apiVersion, plural }: Resource, signal: AbortSignal): Promise<boolean | undefined> {
  try {
    const { resources } = await client.request<{ resources?: readonly { name?: string }[] }>('GET', `/apis/${apiVersion}`, { signal });
    return (resources ?? []).some(({ name }) => name === plural);
  } catch (error) {
    return isNotFound(error) ? false : undefined;
  }
}
