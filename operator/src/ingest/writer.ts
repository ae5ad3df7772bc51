// The one writer of a run's reported status in this process: merges what comes in at once, writes when its turn comes.
//
//   submit -> merged into memory (accepted) -> waits for the least interval, then for a turn -> written (kept)
//   conflict, or an answer that did not come: read the status anew, merge everything unkept into it, wait for a turn again
import { MANAGER_INGEST } from '../api/labels.ts';
import type { BranchPoints } from '../api/branchPoints.ts';
import { isConflict, isNotFound } from '../runtime/apiError.ts';
import type { KubeClient } from '../runtime/client.ts';
import { jittered } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { applyStatus } from '../runtime/verbs.ts';
import { serverNow } from '../runtime/serverTime.ts';
import { positionOf } from './merge.ts';
import type { MergeContext, ReportedStatus } from './merge.ts';
import type { IngestMetrics } from './metrics.ts';
import { Refusal, notFound } from './refusal.ts';
import type { Run, RunRef, Runs } from './runs.ts';
import type { Turns } from './turns.ts';
import type { Wheel } from './wheel.ts';

/** What a report makes of a status; the same object when it adds nothing. Called again when the status turns out to be another. */
export type Fold = (status: ReportedStatus, context: MergeContext) => ReportedStatus;

export interface Submission {
  readonly fold: Fold;
  /** Memory it takes until it is kept. */
  readonly bytes?: number;
  /** See RunWriter.hurry. */
  readonly isUrgent?: boolean;
  /** Called once, when it has been merged in memory. */
  readonly onAccepted?: () => void;
}

export interface WriterOptions {
  readonly client: KubeClient;
  readonly runs: Runs;
  readonly log: Log;
  readonly metrics: IngestMetrics;
  readonly turns: Turns;
  readonly wheel: Wheel;
  readonly minWriteIntervalMs: number;
  /** Bytes of reports of all runs that are not kept yet. */
  readonly pending: { bytes: number };
}

interface Waiting extends Submission {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  isAccepted: boolean;
}

/** The reported part of a status as the API server had it at a resource version. */
interface Known {
  readonly resourceVersion: string | undefined;
  readonly checkpointDirectoryUri: string | undefined;
  readonly branchPoints: BranchPoints | undefined;
  readonly reported: ReportedStatus;
}

const MIN_BACKOFF_MS = 200;
const MAX_BACKOFF_MS = 30_000;

export class RunWriter {
  readonly #options: WriterOptions;
  readonly #run: RunRef;
  // What the API server answered last. Never the cache: it lags behind own writes and holds no curves.
  #known: Known | undefined;
  // #known with all of #waiting in it, in this order.
  #merged: ReportedStatus = {};
  #waiting: Waiting[] = [];
  #pendingBytes = 0;
  // Reading, waiting for the interval or a turn, or writing: only one of them is under way.
  #isBusy = false;
  #isClosed = false;
  #isUrgent = false;
  #hurryTurn: () => void = () => undefined;
  #backoffMs = MIN_BACKOFF_MS;
  #writtenAt = -Infinity;
  #usedAt = Date.now();

  constructor(run: RunRef, options: WriterOptions) {
    this.#run = run;
    this.#options = options;
  }

  /** How long nothing has been written or waited for; 0 while something is. */
  get idleMs(): number {
    return this.#isBusy ? 0 : Date.now() - this.#usedAt;
  }

  /** Bytes of reports that are not kept yet. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** The (attempt, seq) that the API server holds, as far as is known; reads it when nothing is, ahead of the first report. */
  position(): { attempt: number; seq: number } | undefined {
    if (this.#known === undefined) this.#read();
    return this.#known === undefined ? undefined : positionOf(this.#known.reported);
  }

  /** Resolves when the API server holds a status that has this report in it. Rejects with Refusal when the run is gone, with Error when the writer closes. */
  submit(submission: Submission): Promise<void> {
    if (this.#isClosed) return Promise.reject(new Error('writer is closed'));
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { ...submission, resolve, reject, isAccepted: false };
      this.#waiting.push(waiting);
      this.#pendingBytes += submission.bytes ?? 0;
      this.#options.pending.bytes += submission.bytes ?? 0;
      if (submission.isUrgent === true) this.hurry();
      if (this.#known !== undefined) this.#merge(waiting, this.#known);
      this.#schedule();
    });
  }

  /** Somebody waits for what was submitted: it goes before what is only news. */
  hurry(): void {
    this.#isUrgent = this.#waiting.length > 0;
    this.#hurryTurn();
  }

  /** Stops at once; what waits is rejected, and its sender will send it again. */
  close(): void {
    this.#isClosed = true;
    this.#settle(this.#waiting.splice(0), new Error('writer is closed'));
  }

  #merge(waiting: Waiting, { checkpointDirectoryUri, branchPoints }: Known): void {
    try {
      this.#merged = waiting.fold(this.#merged, { now: new Date(serverNow()).toISOString(), checkpointDirectoryUri, branchPoints });
    } catch (error) {
      // What cannot be merged must not keep others from it.
      this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      return this.#settle([waiting], error instanceof Error ? error : new Error(String(error)));
    }
    if (waiting.isAccepted) return;
    waiting.isAccepted = true;
    waiting.onAccepted?.();
  }

  #read(): void {
    if (this.#isBusy || this.#isClosed) return;
    void this.#begin(async () => {
      const run = await this.#options.runs.live(this.#run);
      if (run === undefined) throw notFound('run is gone');
      this.#known = knownOf(run);
      this.#merged = this.#known.reported;
      for (const waiting of [...this.#waiting]) this.#merge(waiting, this.#known);
    });
  }

  /** Sees to it that what waits is written. */
  #schedule(): void {
    if (this.#isBusy || this.#isClosed || this.#waiting.length === 0) return;
    if (this.#known === undefined) return this.#read();
    if (this.#merged === this.#known.reported) {
      this.#options.metrics.statusWrites.inc({ result: 'unchanged' });
      this.#settle(this.#waiting.splice(0));
      return;
    }
    this.#isBusy = true;
    const { turns, wheel, minWriteIntervalMs } = this.#options;
    const takeTurn = (): void => {
      this.#hurryTurn = turns.take(() => this.#write(), this.#isUrgent);
    };
    const waitMs = this.#writtenAt + minWriteIntervalMs - performance.now();
    if (waitMs > 0) wheel.after(waitMs, takeTurn);
    else takeTurn();
  }

  async #write(): Promise<void> {
    const known = this.#known;
    if (this.#isClosed || known === undefined) return;
    const batch = this.#waiting.splice(0);
    const written = this.#merged;
    this.#isUrgent = false;
    this.#hurryTurn = () => undefined;
    await this.#begin(async () => {
      try {
        this.#known = { ...knownOf(await this.#apply(known, written)), reported: written };
      } catch (error) {
        // Also an error without an answer may hide a write: what is there now has to be read.
        this.#known = undefined;
        this.#waiting.unshift(...batch);
        this.#isUrgent = batch.some(({ isUrgent }) => isUrgent === true);
        if (!isConflict(error)) throw error;
        this.#options.metrics.statusWrites.inc({ result: 'conflict' });
        return;
      }
      this.#writtenAt = performance.now();
      this.#options.metrics.statusWrites.inc({ result: 'written' });
      this.#settle(batch);
    });
  }

  /** Does one thing with the API server, and after it what is then due. */
  async #begin(action: () => Promise<void>): Promise<void> {
    this.#isBusy = true;
    try {
      await action();
      this.#backoffMs = MIN_BACKOFF_MS;
    } catch (error) {
      this.#options.metrics.statusWrites.inc({ result: 'error' });
      if (!this.#isClosed && !isGone(error)) return this.#backOff(error);
      if (isGone(error)) this.#settle(this.#waiting.splice(0), notFound(`${this.#run.kind} ${this.#run.namespace}/${this.#run.name} (${this.#run.uid}) is gone`));
    }
    this.#isBusy = false;
    this.#usedAt = Date.now();
    if (this.#isClosed) this.#settle(this.#waiting.splice(0), new Error('writer is closed'));
    this.#schedule();
  }

  #backOff(error: unknown): void {
    const { log, wheel } = this.#options;
    log.warn({ run: `${this.#run.namespace}/${this.#run.name}`, err: error, waiting: this.#waiting.length }, 'status not written, trying again');
    wheel.after(jittered(this.#backoffMs), () => {
      this.#isBusy = false;
      this.#schedule();
    });
    this.#backoffMs = Math.min(this.#backoffMs * 2, MAX_BACKOFF_MS);
  }

  /** The resource version makes a write from an outdated status fail instead of undoing another replica's. */
  #apply({ resourceVersion }: Known, status: ReportedStatus): Promise<Run> {
    const { client, runs } = this.#options;
    const resource = runs.resourceOf(this.#run.kind);
    if (resource === undefined || resourceVersion === undefined) throw new Error(`no resource version of a ${this.#run.kind}`);
    const { namespace, name, uid } = this.#run;
    const body = { apiVersion: resource.apiVersion, kind: resource.kind, metadata: { namespace, name, uid, resourceVersion }, status };
    return applyStatus<Run>(client, resource, body, { fieldManager: MANAGER_INGEST });
  }

  #settle(all: readonly Waiting[], error?: Error): void {
    for (const { bytes = 0, resolve, reject } of all) {
      this.#pendingBytes -= bytes;
      this.#options.pending.bytes -= bytes;
      if (error === undefined) resolve();
      else reject(error);
    }
  }
}

function knownOf({ metadata, spec, status }: Run): Known {
  const { progress, validation, checkpoints, curve, checkpointDirectoryUri } = status ?? {};
  const reported = { ...(progress && { progress }), ...(validation && { validation }), ...(checkpoints && { checkpoints }), ...(curve && { curve }) };
  const { keepSteps, keepTokens } = spec?.checkpoint ?? {};
  return { resourceVersion: metadata.resourceVersion, checkpointDirectoryUri, branchPoints: { keepSteps, keepTokens }, reported };
}

function isGone(error: unknown): boolean {
  return error instanceof Refusal || isNotFound(error);
}
