// The open streams of this process, and the writers they share per run.
import { status as grpcStatus } from '@grpc/grpc-js';
import type { KubeClient } from '../runtime/client.ts';
import type { Log } from '../runtime/log.ts';
import type { Caller, Identities } from './identity.ts';
import type { Limits } from './limits.ts';
import type { IngestMetrics } from './metrics.ts';
import { pace } from './pace.ts';
import { Refusal, unavailable } from './refusal.ts';
import type { Runs, RunRef } from './runs.ts';
import { TrainerStream, authorizationOf, refuse } from './stream.ts';
import type { ReportCall } from './stream.ts';
import { Turns } from './turns.ts';
import type { Wheel } from './wheel.ts';
import { RunWriter } from './writer.ts';

export interface StreamsOptions {
  readonly client: KubeClient;
  readonly runs: Runs;
  readonly identities: Identities;
  readonly metrics: IngestMetrics;
  readonly log: Log;
  readonly wheel: Wheel;
  readonly limits: Limits;
  /** Called with the peer of a call whose caller is known. */
  readonly onProven: (peer: string) => void;
}

const WRITER_IDLE_MS = 60_000;
const LOOK_MS = 1000;
const LOOKS = 20;
const LOGGED_REFUSALS_PER_SECOND = 5;

interface PodStreams {
  readonly streams: TrainerStream[];
  readonly pauseMs: (bytes: number) => number;
}

export class Streams {
  readonly #options: StreamsOptions;
  readonly #byPod = new Map<string, PodStreams>();
  readonly #writers = new Map<string, RunWriter>();
  readonly #pending = { bytes: 0 };
  readonly #turns: Turns;
  readonly #open = new Set<TrainerStream>();
  readonly #refusals = pace(LOGGED_REFUSALS_PER_SECOND, LOGGED_REFUSALS_PER_SECOND);
  #toLookAt: TrainerStream[] = [];
  #isClosed = false;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#turns = new Turns(options.limits, options.wheel);
    this.#lookSoon();
  }

  /** Serves a call from its first byte to its last. */
  async serve(call: ReportCall): Promise<void> {
    try {
      if (this.#isClosed) throw unavailable('operator is shutting down');
      const caller = await this.#options.identities.identify(authorizationOf(call), call.getPeer());
      if (call.cancelled) return;
      this.#options.onProven(call.getPeer());
      this.#openStream(call, caller);
    } catch (error) {
      const code = refuse(call, error);
      this.#options.metrics.refusedStreams.inc({ code: grpcStatus[code] });
      const level = this.#refusals.delayMs(0) > 0 ? 'debug' : 'info';
      this.#refusals.delayMs();
      this.#options.log[level]({ peer: call.getPeer(), code: grpcStatus[code], err: error }, 'stream refused');
    }
  }

  /** The writer of a run, shared by all its streams and by what reads termination messages. */
  writerOf(run: RunRef): RunWriter {
    const known = this.#writers.get(run.uid);
    if (known !== undefined) return known;
    const { minWriteIntervalMs } = this.#options.limits;
    const writer = new RunWriter(run, { ...this.#options, minWriteIntervalMs, turns: this.#turns, pending: this.#pending });
    this.#writers.set(run.uid, writer);
    return writer;
  }

  /** Sends every trainer away to come back to another replica, and lets go of unfinished writes. */
  close(): void {
    this.#isClosed = true;
    for (const stream of [...this.#open]) stream.end(unavailable('operator is shutting down'));
    for (const writer of this.#writers.values()) writer.close();
    this.#turns.close();
  }

  /** Every second each stream is looked at, a part of them at a time. */
  #lookSoon(): void {
    this.#options.wheel.after(LOOK_MS / LOOKS, () => {
      if (this.#isClosed) return;
      this.#look();
      this.#lookSoon();
    });
  }

  #look(): void {
    const { metrics } = this.#options;
    metrics.pendingBytes.set(this.#pending.bytes);
    metrics.waitingWrites.set(this.#turns.waiting);
    if (this.#toLookAt.length === 0) {
      for (const [uid, writer] of this.#writers) if (writer.idleMs > WRITER_IDLE_MS) this.#writers.delete(uid);
      this.#toLookAt = [...this.#open];
    }
    for (const stream of this.#toLookAt.splice(0, Math.ceil(this.#open.size / LOOKS))) void this.#lookAt(stream);
  }

  /** Sends a changed command and ends the stream of a run that is gone or went on to another attempt, or of a pod that is no more. */
  async #lookAt(stream: TrainerStream): Promise<void> {
    try {
      stream.tellWish();
      await this.#options.identities.confirm(stream.caller, stream.authorization);
    } catch (error) {
      // An API server that cannot be asked is no reason to send a trainer away.
      if (error instanceof Refusal && error.code !== grpcStatus.UNAVAILABLE) stream.end(error);
    }
  }

  #openStream(call: ReportCall, caller: Caller): void {
    const { limits } = this.#options;
    const pod = this.#byPod.get(caller.pod.uid) ?? { streams: [], pauseMs: podPace(limits) };
    this.#byPod.set(caller.pod.uid, pod);
    const stream = new TrainerStream(call, caller, {
      ...this.#options, pauseMs: pod.pauseMs, messagesInFlight: limits.messagesInFlight,
      writerOf: ({ run }) => this.writerOf(run),
      isFull: (writer) => writer.pendingBytes > limits.pendingBytesPerRun || this.#pending.bytes > limits.pendingBytes,
      onClose: (closed) => this.#forget(closed),
    });
    pod.streams.push(stream);
    this.#open.add(stream);
    this.#options.metrics.streams.set(this.#open.size);
    // A trainer that lost its connection comes back before the server sees the old one die: the newest counts.
    if (pod.streams.length > limits.streamsPerPod) pod.streams[0]?.end(new Refusal(grpcStatus.ABORTED, 'replaced by a newer stream of the same pod'));
    stream.start();
  }

  #forget(stream: TrainerStream): void {
    this.#open.delete(stream);
    this.#options.metrics.streams.set(this.#open.size);
    const pod = this.#byPod.get(stream.caller.pod.uid);
    const index = pod?.streams.indexOf(stream) ?? -1;
    if (pod === undefined || index < 0) return;
    pod.streams.splice(index, 1);
    if (pod.streams.length === 0) this.#byPod.delete(stream.caller.pod.uid);
  }
}

/** One pace for all streams of a pod, in messages and in bytes. */
function podPace(limits: Limits): (bytes: number) => number {
  const messages = pace(limits.messagesPerSecond, limits.messageBurst);
  const bytes = pace(limits.bytesPerSecond, limits.byteBurst);
  return (size) => Math.max(messages.delayMs(), bytes.delayMs(size));
}
