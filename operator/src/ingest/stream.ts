// One trainer's stream: reports in, acknowledgements and commands out. An acknowledgement means: the API server has it.
import { create } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { status as grpcStatus } from '@grpc/grpc-js';
import { ReportResponseSchema } from '../gen/telemetry_pb.js';
import type { ReportRequest, ReportResponse } from '../gen/telemetry_pb.js';
import { sleep } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { requireCurrent } from './identity.ts';
import type { Caller, Identify } from './identity.ts';
import { mergeReport, positionOf } from './merge.ts';
import type { IngestMetrics } from './metrics.ts';
import type { Pace } from './pace.ts';
import { Refusal, permissionDenied, unavailable } from './refusal.ts';
import { isSameWish, wishOf } from './runs.ts';
import type { Runs, Wish } from './runs.ts';
import type { RunWriter } from './writer.ts';

export type ReportCall = ServerDuplexStream<ReportRequest, ReportResponse>;

export interface StreamOptions {
  readonly runs: Runs;
  readonly identify: Identify;
  readonly writerOf: (caller: Caller) => RunWriter;
  readonly metrics: IngestMetrics;
  readonly log: Log;
  /** How fast this identity may report; faster streams are read more slowly. */
  readonly pace: Pace;
  readonly onClose: (stream: TrainerStream) => void;
}

const MAX_IN_FLIGHT = 32;
const RECHECK_MS = 60_000;

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
  #checkedAt = Date.now();
  #isChecking = false;
  #isClosed = false;
  #ackedSeq = 0n;
  #wish: Wish = { saveAndStop: false, keepSteps: [] };

  constructor(call: ReportCall, caller: Caller, options: StreamOptions) {
    this.#call = call;
    this.caller = caller;
    this.#options = options;
  }

  /** Says what the status already holds, so that a trainer that comes back need not send it again, and begins to read. */
  start(): void {
    const held = positionOf(this.#options.runs.cached(this.caller.run)?.status ?? {});
    if (held.attempt === this.caller.attempt) this.#ackedSeq = BigInt(held.seq);
    this.#respond();
    this.#call.on('data', (message: ReportRequest) => void this.#take(message));
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

  /** To be called about every second: sends a changed command, ends the stream of a run that is gone or went on to another attempt, and checks the caller again every minute. */
  async look(): Promise<void> {
    if (this.#isClosed || this.#isChecking) return;
    this.#isChecking = true;
    try {
      await requireCurrent(this.#options.runs, this.caller);
      if (Date.now() - this.#checkedAt > RECHECK_MS) {
        await this.#options.identify(authorizationOf(this.#call));
        this.#checkedAt = Date.now();
      }
      if (!isSameWish(this.#command(), this.#wish)) this.#respond();
    } catch (error) {
      // An API server that cannot be asked is no reason to send a trainer away.
      if (error instanceof Refusal && error.code !== grpcStatus.UNAVAILABLE) this.end(error);
    } finally {
      this.#isChecking = false;
    }
  }

  async #take(message: ReportRequest): Promise<void> {
    const receivedAt = performance.now();
    this.#call.pause();
    try {
      this.#check(message);
      const written = this.#write(message, receivedAt).catch((error: unknown) => this.end(error)).finally(() => this.#inFlight.delete(written));
      this.#inFlight.add(written);
      await sleep(this.#options.pace.delayMs());
      if (this.#inFlight.size >= MAX_IN_FLIGHT) await Promise.race(this.#inFlight);
    } catch (error) {
      this.#options.metrics.messages.inc({ result: 'refused' });
      this.end(error);
    }
    if (!this.#isClosed) this.#call.resume();
  }

  /** What a message says of itself must be what the token proved. */
  #check(message: ReportRequest): void {
    const { run, attempt } = this.caller;
    if (message.runUid !== run.uid) throw permissionDenied(`run_uid is not that of the pod's run ${run.namespace}/${run.name} (${run.uid})`);
    if (message.attempt !== attempt) throw permissionDenied(`attempt is ${message.attempt}, the pod belongs to attempt ${attempt}`);
    if (message.seq < 1n || message.seq > BigInt(Number.MAX_SAFE_INTEGER)) throw new Refusal(grpcStatus.INVALID_ARGUMENT, 'seq must be at least 1 and below 2^53');
  }

  async #write(message: ReportRequest, receivedAt: number): Promise<void> {
    const { metrics, writerOf } = this.#options;
    let isNews = false;
    let refusedFields = 0;
    await writerOf(this.caller).submit((status, context) => {
      const merged = mergeReport(status, message, context);
      isNews = merged.accepted;
      ({ refusedFields } = merged);
      return merged.status;
    });
    metrics.messages.inc({ result: isNews ? 'accepted' : 'duplicate' });
    metrics.refusedFields.inc(refusedFields);
    metrics.acceptSeconds.observe((performance.now() - receivedAt) / 1000);
    if (message.seq > this.#ackedSeq) this.#ackedSeq = message.seq;
    this.#respond();
  }

  #command(): Wish {
    const run = this.#options.runs.cached(this.caller.run);
    return run === undefined ? this.#wish : wishOf(run);
  }

  #respond(): void {
    if (this.#isClosed) return;
    this.#wish = this.#command();
    const command = { saveAndStop: this.#wish.saveAndStop, keepSteps: this.#wish.keepSteps.map(BigInt) };
    this.#call.write(create(ReportResponseSchema, { attempt: this.caller.attempt, ackedSeq: this.#ackedSeq, command }));
  }

  /** The trainer has nothing more to say: it still gets its acknowledgements. */
  async #finish(): Promise<void> {
    await Promise.allSettled(this.#inFlight);
    if (this.#isClosed) return;
    this.#call.end();
    this.#close();
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.onClose(this);
  }
}
