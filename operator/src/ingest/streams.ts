// The open streams of this process, and the writers they share per run.
import { status as grpcStatus } from '@grpc/grpc-js';
import type { Log } from '../runtime/log.ts';
import type { Identify } from './identity.ts';
import type { IngestMetrics } from './metrics.ts';
import { pace } from './pace.ts';
import type { Pace } from './pace.ts';
import { Refusal, unavailable } from './refusal.ts';
import type { Runs, RunRef } from './runs.ts';
import { TrainerStream, authorizationOf, refuse } from './stream.ts';
import type { ReportCall } from './stream.ts';
import { RunWriter } from './writer.ts';
import type { WriterOptions } from './writer.ts';

export interface StreamsOptions extends WriterOptions {
  readonly runs: Runs;
  readonly identify: Identify;
  readonly metrics: IngestMetrics;
  readonly log: Log;
}

const STREAMS_PER_POD = 2;
const MESSAGES_PER_SECOND = 20;
const BURST = 50;
const WRITER_IDLE_MS = 60_000;

interface PodStreams {
  readonly streams: TrainerStream[];
  readonly pace: Pace;
}

export class Streams {
  readonly #options: StreamsOptions;
  readonly #byPod = new Map<string, PodStreams>();
  readonly #writers = new Map<string, RunWriter>();
  #isClosed = false;

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  /** Serves a call from its first byte to its last. */
  async serve(call: ReportCall): Promise<void> {
    try {
      if (this.#isClosed) throw unavailable('operator is shutting down');
      const caller = await this.#options.identify(authorizationOf(call));
      if (!call.cancelled) this.#open(call, caller);
    } catch (error) {
      const code = refuse(call, error);
      this.#options.metrics.refusedStreams.inc({ code: grpcStatus[code] });
      this.#options.log.info({ peer: call.getPeer(), code: grpcStatus[code], err: error }, 'stream refused');
    }
  }

  /** The writer of a run, shared by all its streams and by what reads termination messages. */
  writerOf(run: RunRef): RunWriter {
    const known = this.#writers.get(run.uid);
    if (known !== undefined) return known;
    const writer = new RunWriter(run, this.#options);
    this.#writers.set(run.uid, writer);
    return writer;
  }

  /** The regular look at every stream; see TrainerStream.look. */
  async look(): Promise<void> {
    for (const [uid, writer] of this.#writers) if (writer.idleMs > WRITER_IDLE_MS) this.#writers.delete(uid);
    await Promise.all([...this.#byPod.values()].flatMap(({ streams }) => streams.map((stream) => stream.look())));
  }

  /** Sends every trainer away to come back to another replica, and lets go of unfinished writes. */
  close(): void {
    this.#isClosed = true;
    for (const { streams } of this.#byPod.values()) for (const stream of [...streams]) stream.end(unavailable('operator is shutting down'));
    for (const writer of this.#writers.values()) writer.close();
  }

  #open(call: ReportCall, caller: Awaited<ReturnType<Identify>>): void {
    const pod = this.#byPod.get(caller.pod.uid) ?? { streams: [], pace: pace(MESSAGES_PER_SECOND, BURST) };
    this.#byPod.set(caller.pod.uid, pod);
    const stream = new TrainerStream(call, caller, {
      ...this.#options, pace: pod.pace,
      writerOf: ({ run }) => this.writerOf(run),
      onClose: (closed) => this.#forget(closed),
    });
    pod.streams.push(stream);
    this.#options.metrics.streams.inc();
    // A trainer that lost its connection comes back before the server sees the old one die: the newest counts.
    if (pod.streams.length > STREAMS_PER_POD) pod.streams[0]?.end(new Refusal(grpcStatus.ABORTED, 'replaced by a newer stream of the same pod'));
    stream.start();
  }

  #forget(stream: TrainerStream): void {
    const pod = this.#byPod.get(stream.caller.pod.uid);
    const index = pod?.streams.indexOf(stream) ?? -1;
    if (pod === undefined || index < 0) return;
    pod.streams.splice(index, 1);
    this.#options.metrics.streams.dec();
    if (pod.streams.length === 0) this.#byPod.delete(stream.caller.pod.uid);
  }
}
