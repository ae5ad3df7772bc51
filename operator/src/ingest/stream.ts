// One trainer's stream: reports in, acknowledgements and commands out. An acknowledgement means: the API server has it.
import { create } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { status as grpcStatus } from '@grpc/grpc-js';
import { ReportResponseSchema } from '../gen/telemetry_pb.js';
import type { ReportRequest, ReportResponse } from '../gen/telemetry_pb.js';
import type { Log } from '../runtime/log.ts';
import type { Caller } from './identity.ts';
import { mergeReport, positionOf } from './merge.ts';
import type { IngestMetrics } from './metrics.ts';
import { Refusal, permissionDenied, unavailable } from './refusal.ts';
import { isSameWish, wishOf } from './runs.ts';
import type { Runs, Wish } from './runs.ts';
import { decodeReport, wireOf } from './service.ts';
import type { Wheel } from './wheel.ts';
import type { Fold, RunWriter } from './writer.ts';

export type ReportCall = ServerDuplexStream<ReportRequest, ReportResponse>;

export interface StreamOptions {
  readonly runs: Runs;
  readonly writerOf: (caller: Caller) => RunWriter;
  readonly metrics: IngestMetrics;
  readonly log: Log;
  readonly wheel: Wheel;
  /** Counts a message of so many bytes and returns how long to read nothing more of this identity. */
  readonly pauseMs: (bytes: number) => number;
  /** Whether the memory for reports that are not kept yet is used up. */
  readonly isFull: (writer: RunWriter) => boolean;
  readonly messagesInFlight: number;
  readonly onClose: (stream: TrainerStream) => void;
}

export function authorizationOf(call: ReportCall): string | undefined {
  const values = call.metadata.get('authorization');
  return values.length === 1 && typeof values[0] === 'string' ? values[0] : undefined;
}

/** Ends a call with the gRPC status of a Refusal; of other errors only that there was one leaves the operator. */
export function refuse(call: ReportCall, error: unknown): grpcStatus {
  const refusal = error instanceof Refusal ? error : unavailable('internal error, try again');
  call.emit('error', { code: refusal.code, details: refusal.message });
  return refusal.code;
}

export class TrainerStream {
  readonly caller: Caller;
  readonly #call: ReportCall;
  readonly #options: StreamOptions;
  readonly #inFlight = new Set<Promise<void>>();
  #isClosed = false;
  #acceptedSeq = 0n;
  #ackedSeq = 0n;
  #wish: Wish = { saveAndStop: false, keepSteps: [] };
  // A response is due, and the caller has not read the last one yet.
  #isDue = false;
  #isCongested = false;

  constructor(call: ReportCall, caller: Caller, options: StreamOptions) {
    this.#call = call;
    this.caller = caller;
    this.#options = options;
  }

  get authorization(): string | undefined {
    return authorizationOf(this.#call);
  }

  /** Says what the status already holds, so that a trainer that comes back need not send it again, and begins to read. */
  start(): void {
    const held = this.#writer.position() ?? positionOf(this.#options.runs.cached(this.caller.run)?.status ?? {});
    if (held.attempt === this.caller.attempt) this.#ackedSeq = BigInt(held.seq);
    this.#respond();
    this.#call.on('drain', () => {
      this.#isCongested = false;
      if (this.#isDue) this.#respond();
    });
    this.#call.on('data', (message: ReportRequest) => this.#take(message));
    this.#call.on('end', () => void this.#finish());
    this.#call.on('cancelled', () => this.#close());
    this.#call.on('close', () => this.#close());
  }

  /** Ends the stream with a gRPC status. */
  end(error: unknown): void {
    if (this.#isClosed) return;
    const code = refuse(this.#call, error);
    this.#options.metrics.refusedStreams.inc({ code: grpcStatus[code] });
    const { run, pod, attempt } = this.caller;
    this.#options.log.info({ run: `${run.namespace}/${run.name}`, attempt, pod: pod.name, code: grpcStatus[code], err: error }, 'stream ended by the server');
    this.#close();
  }

  /** Sends the command if it has changed. */
  tellWish(): void {
    if (this.#isClosed || isSameWish(this.#wishNow(), this.#wish)) return;
    if (this.#wishNow().saveAndStop) this.#writer.hurry();
    this.#respond();
  }

  get #writer(): RunWriter {
    return this.#options.writerOf(this.caller);
  }

  #take(message: ReportRequest): void {
    const receivedAt = performance.now();
    try {
      this.#check(message);
    } catch (error) {
      this.#options.metrics.messages.inc({ result: 'refused' });
      return this.end(error);
    }
    const merging = mergingOf(message);
    const written: Promise<void> = this.#write(merging, receivedAt).catch((error: unknown) => this.end(error)).finally(() => this.#inFlight.delete(written));
    this.#inFlight.add(written);
    this.#pauseAfter(merging.bytes, written);
  }

  /** What comes too fast, or is not kept fast enough, is not read: HTTP/2 then holds up the sender. */
  #pauseAfter(bytes: number, written: Promise<void>): void {
    const { isFull, messagesInFlight, pauseMs, wheel } = this.#options;
    const ms = pauseMs(bytes);
    const resume = (): void => {
      if (!this.#isClosed) this.#call.resume();
    };
    if (this.#inFlight.size >= messagesInFlight) {
      this.#call.pause();
      void Promise.race(this.#inFlight).then(() => (ms > 0 ? wheel.after(ms, resume) : resume()));
    } else if (isFull(this.#writer)) {
      this.#call.pause();
      void written.then(resume);
    } else if (ms > 0) {
      this.#call.pause();
      wheel.after(ms, resume);
    }
  }

  /** What a message says of itself must be what the token proved. */
  #check(message: ReportRequest): void {
    const { run, attempt } = this.caller;
    if (message.runUid !== run.uid) throw permissionDenied(`run_uid is not that of the pod's run ${run.namespace}/${run.name} (${run.uid})`);
    if (message.attempt !== attempt) throw permissionDenied(`attempt is ${message.attempt}, the pod belongs to attempt ${attempt}`);
    if (message.seq < 1n || message.seq > BigInt(Number.MAX_SAFE_INTEGER)) throw new Refusal(grpcStatus.INVALID_ARGUMENT, 'seq must be at least 1 and below 2^53');
  }

  async #write(merging: Merging, receivedAt: number): Promise<void> {
    const { metrics } = this.#options;
    await this.#writer.submit({
      fold: merging.fold,
      bytes: merging.bytes,
      isUrgent: merging.isFinal || this.#wish.saveAndStop,
      onAccepted: () => {
        metrics.acceptSeconds.observe((performance.now() - receivedAt) / 1000);
        if (merging.seq > this.#acceptedSeq) this.#acceptedSeq = merging.seq;
        this.#respondSoon();
      },
    });
    metrics.messages.inc({ result: merging.isNews ? 'accepted' : 'duplicate' });
    metrics.points.inc(merging.isNews ? merging.points : 0);
    metrics.refusedFields.inc(merging.refusedFields);
    metrics.ackSeconds.observe((performance.now() - receivedAt) / 1000);
    if (merging.seq > this.#ackedSeq) this.#ackedSeq = merging.seq;
    this.#respondSoon();
  }

  #wishNow(): Wish {
    const run = this.#options.runs.cached(this.caller.run);
    return run === undefined ? this.#wish : wishOf(run);
  }

  /** One response for all that happens in this turn of the event loop. */
  #respondSoon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.#respond());
  }

  /** Beyond what the stream holds for a caller that does not read, one response waits: the newest. */
  #respond(): void {
    if (this.#isClosed) return;
    this.#isDue = this.#isCongested;
    if (this.#isCongested) return;
    this.#wish = this.#wishNow();
    const command = { saveAndStop: this.#wish.saveAndStop, keepSteps: this.#wish.keepSteps.map(BigInt) };
    const response = create(ReportResponseSchema, { attempt: this.caller.attempt, ackedSeq: this.#ackedSeq, acceptedSeq: this.#acceptedSeq, command });
    this.#isCongested = !this.#call.write(response);
  }

  /** The trainer has nothing more to say: it still gets its acknowledgements. */
  async #finish(): Promise<void> {
    this.#writer.hurry();
    await Promise.allSettled(this.#inFlight);
    if (this.#isClosed) return;
    this.#respond();
    this.#call.end();
    this.#close();
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.onClose(this);
  }
}

/** A report on its way into the status. */
interface Merging {
  readonly seq: bigint;
  readonly points: number;
  readonly bytes: number;
  readonly isFinal: boolean;
  isNews: boolean;
  refusedFields: number;
  readonly fold: Fold;
}

/** The decoded report is let go of when it has been merged once; should that have to be done again, it is decoded again. */
function mergingOf(message: ReportRequest): Merging {
  const wire = wireOf(message);
  let decoded: ReportRequest | undefined = message;
  const merging: Merging = {
    seq: message.seq, points: message.points.length, bytes: wire.length, isFinal: message.final, isNews: false, refusedFields: 0,
    fold: (status, context) => {
      const merged = mergeReport(status, decoded ?? decodeReport(wire), context);
      decoded = undefined;
      merging.isNews ||= merged.accepted;
      merging.refusedFields = Math.max(merging.refusedFields, merged.refusedFields);
      return merged.status;
    },
  };
  return merging;
}
