// The one writer of a run's reported status in this process: folds what comes in, at most one write in flight.
import { MANAGER_INGEST } from '../api/labels.ts';
import { isConflict, isNotFound } from '../runtime/apiError.ts';
import type { KubeClient } from '../runtime/client.ts';
import { jittered, sleep } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { applyStatus } from '../runtime/verbs.ts';
import type { MergeContext, ReportedStatus } from './merge.ts';
import type { IngestMetrics } from './metrics.ts';
import { Refusal, notFound } from './refusal.ts';
import type { Run, RunRef, Runs } from './runs.ts';

/** What a report makes of a status; the same object when it adds nothing. Called again on every newer status. */
export type Fold = (status: ReportedStatus, context: MergeContext) => ReportedStatus;

export interface WriterOptions {
  readonly client: KubeClient;
  readonly runs: Runs;
  readonly log: Log;
  readonly metrics: IngestMetrics;
  /** Least time between two writes of a run's status. */
  readonly minIntervalMs: number;
}

interface Waiting {
  readonly fold: Fold;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** The reported part of a status as the API server had it at a resource version. */
interface Known {
  readonly resourceVersion: string | undefined;
  readonly checkpointDirectoryUri: string | undefined;
  readonly reported: ReportedStatus;
}

const MAX_BACKOFF_MS = 30_000;
const CONFLICTS = 5;

export class RunWriter {
  readonly #options: WriterOptions;
  readonly #run: RunRef;
  readonly #waiting: Waiting[] = [];
  readonly #stop = new AbortController();
  // What the API server answered last. Never the cache: it lags behind own writes and holds no curves.
  #known: Known | undefined;
  #writtenAt = 0;
  #usedAt = Date.now();
  #isBusy = false;

  constructor(run: RunRef, options: WriterOptions) {
    this.#run = run;
    this.#options = options;
  }

  /** How long nothing has been written or waited for; 0 while something is. */
  get idleMs(): number {
    return this.#isBusy ? 0 : Date.now() - this.#usedAt;
  }

  /** Resolves when the API server holds a status that has this report in it. Rejects with Refusal when the run is gone, with Error when the writer closes. */
  submit(fold: Fold): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.reject(new Error('writer is closed'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ fold, resolve, reject });
      if (!this.#isBusy) void this.#drain();
    });
  }

  /** Stops at once; what waits is rejected, and its sender will send it again. */
  close(): void {
    this.#stop.abort();
    this.#rejectAll(new Error('writer is closed'));
  }

  async #drain(): Promise<void> {
    this.#isBusy = true;
    let backoffMs = 200;
    while (this.#waiting.length > 0 && !this.#stop.signal.aborted) {
      await sleep(Math.max(0, this.#writtenAt + this.#options.minIntervalMs - Date.now()), this.#stop.signal);
      if (this.#stop.signal.aborted) break;
      backoffMs = (await this.#writeWaiting()) ? 200 : await this.#backOff(backoffMs);
    }
    this.#isBusy = false;
    this.#usedAt = Date.now();
  }

  async #writeWaiting(): Promise<boolean> {
    const batch = [...this.#waiting];
    try {
      await this.#write(batch.map(({ fold }) => fold));
      this.#waiting.splice(0, batch.length);
      for (const { resolve } of batch) resolve();
      return true;
    } catch (error) {
      this.#options.metrics.statusWrites.inc({ result: 'error' });
      if (!isGone(error)) {
        this.#options.log.warn({ run: `${this.#run.namespace}/${this.#run.name}`, err: error, waiting: batch.length }, 'status not written, trying again');
        return false;
      }
      this.#rejectAll(notFound(`${this.#run.kind} ${this.#run.namespace}/${this.#run.name} (${this.#run.uid}) is gone`));
      return true;
    }
  }

  async #backOff(ms: number): Promise<number> {
    await sleep(jittered(ms), this.#stop.signal);
    return Math.min(ms * 2, MAX_BACKOFF_MS);
  }

  async #write(folds: readonly Fold[]): Promise<void> {
    for (let conflicts = 0; ; conflicts++) {
      this.#known ??= await this.#live();
      const { reported, checkpointDirectoryUri } = this.#known;
      const context = { now: new Date().toISOString(), checkpointDirectoryUri };
      const after = folds.reduce((status, fold) => fold(status, context), reported);
      if (after === reported) {
        this.#options.metrics.statusWrites.inc({ result: 'unchanged' });
        return;
      }
      try {
        this.#known = await this.#apply(this.#known, after);
        this.#writtenAt = Date.now();
        this.#options.metrics.statusWrites.inc({ result: 'written' });
        return;
      } catch (error) {
        // Also an error without an answer may have been a write: what is there now has to be read.
        this.#known = undefined;
        if (!isConflict(error) || conflicts >= CONFLICTS) throw error;
        this.#options.metrics.statusWrites.inc({ result: 'conflict' });
      }
    }
  }

  /** The resource version makes a write from an outdated status fail instead of undoing another replica's. */
  async #apply({ resourceVersion }: Known, status: ReportedStatus): Promise<Known> {
    const { client, runs } = this.#options;
    const resource = runs.resourceOf(this.#run.kind);
    if (resource === undefined || resourceVersion === undefined) throw new Error(`no resource version of a ${this.#run.kind}`);
    const { namespace, name, uid } = this.#run;
    const body = { apiVersion: resource.apiVersion, kind: resource.kind, metadata: { namespace, name, uid, resourceVersion }, status };
    return knownOf(await applyStatus<Run>(client, resource, body, { fieldManager: MANAGER_INGEST }));
  }

  async #live(): Promise<Known> {
    const run = await this.#options.runs.live(this.#run);
    if (run === undefined) throw notFound('run is gone');
    return knownOf(run);
  }

  #rejectAll(error: Error): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

function knownOf({ metadata, status }: Run): Known {
  const { progress, validation, checkpoints, curve, checkpointDirectoryUri } = status ?? {};
  const reported = { ...(progress && { progress }), ...(validation && { validation }), ...(checkpoints && { checkpoints }), ...(curve && { curve }) };
  return { resourceVersion: metadata.resourceVersion, checkpointDirectoryUri, reported };
}

function isGone(error: unknown): boolean {
  return error instanceof Refusal || isNotFound(error);
}
