// Many trainers in one process for bench/operator/telemetry.ts: each a gRPC client with its own connection and token.
// Reads its plan from the first IPC message and answers with what it measured.
import { create } from '@bufbuild/protobuf';
import { Metadata, credentials, makeGenericClientConstructor } from '@grpc/grpc-js';
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import { setTimeout as sleep } from 'node:timers/promises';
import { ReportRequestSchema } from '../../operator/src/gen/telemetry_pb.js';
import type { ReportRequest, ReportResponse } from '../../operator/src/gen/telemetry_pb.js';
import { telemetryService } from '../../operator/src/ingest/service.ts';

export interface Member {
  readonly runUid: string;
  readonly token: string;
  /** The number of the last message of an earlier plan. */
  readonly sentBefore: number;
}

export interface Plan {
  readonly port: number;
  readonly caPem: string;
  readonly members: readonly Member[];
  readonly pointsPerMessage: number;
  /** Seconds between two messages of a stream; 0: as fast as the window allows. */
  readonly everySeconds: number;
  /** Messages of a stream that wait for their acknowledgement. */
  readonly window: number;
  readonly connectSeconds: number;
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface Outcome {
  readonly streams: number;
  readonly reconnects: number;
  readonly messages: number;
  /** Milliseconds from handing a message to gRPC to the response that says it is accepted, or kept; sorted. */
  readonly acceptMs: readonly number[];
  readonly ackMs: readonly number[];
  readonly ackedPoints: number;
  readonly sent: readonly number[];
}

const TelemetryClient = makeGenericClientConstructor(telemetryService, 'Telemetry');

/** One trainer. It comes back when its stream ends, as trainers do. */
class Trainer {
  readonly #plan: Plan;
  readonly #member: Member;
  readonly #measured: { readonly acceptMs: number[]; readonly ackMs: number[] };
  readonly #sentAt = new Map<number, number>();
  #stream: ClientDuplexStream<ReportRequest, ReportResponse> | undefined;
  #client: Client | undefined;
  #accepted: number;
  #acked: number;
  #isStopped = false;
  seq: number;
  reconnects = -1;
  isMeasuring = false;
  onResponse: () => void = () => undefined;

  constructor(plan: Plan, member: Member, measured: { acceptMs: number[]; ackMs: number[] }) {
    this.#plan = plan;
    this.#member = member;
    this.#measured = measured;
    this.seq = member.sentBefore;
    this.#accepted = member.sentBefore;
    this.#acked = member.sentBefore;
  }

  get acked(): number {
    return this.#acked;
  }

  get inFlight(): number {
    return this.seq - this.#acked;
  }

  connect(): void {
    if (this.#isStopped) return;
    this.reconnects += 1;
    this.#client?.close();
    const options = { 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_channelz': 0 };
    const client = new TelemetryClient(`localhost:${this.#plan.port}`, credentials.createSsl(Buffer.from(this.#plan.caPem)), options);
    this.#client = client;
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${this.#member.token}`);
    const stream = (client['report'] as unknown as (metadata: Metadata) => ClientDuplexStream<ReportRequest, ReportResponse>).call(client, metadata);
    stream.on('data', (response: ReportResponse) => this.#take(response));
    stream.on('error', () => undefined);
    stream.on('status', () => {
      this.#stream = undefined;
      setTimeout(() => this.connect(), 500 + Math.random() * 1000);
    });
    this.#stream = stream;
  }

  send(): void {
    if (this.#stream === undefined) return;
    this.seq += 1;
    const { pointsPerMessage } = this.#plan;
    const points = Array.from({ length: pointsPerMessage }, (_, i) => {
      const step = this.seq * pointsPerMessage + i;
      return { step: BigInt(step), tokens: BigInt(step) * 65_536n, trainLoss: 0.3 + Math.random() / 10 };
    });
    const step = BigInt(this.seq * pointsPerMessage);
    const message = create(ReportRequestSchema, {
      runUid: this.#member.runUid, attempt: 1, seq: BigInt(this.seq), points,
      progress: { stage: 'Training', step, totalSteps: 1_000_000_000n, tokens: step * 65_536n, trainLoss: 0.35, tokensPerSecond: 65_536, etaSeconds: 86_400n, parameters: 1_800_000_000n, trainSeconds: 12.5 },
    });
    if (this.isMeasuring) this.#sentAt.set(this.seq, performance.now());
    this.#stream.write(message);
  }

  stop(): void {
    this.#isStopped = true;
    this.#stream?.cancel();
    this.#client?.close();
  }

  #take(response: ReportResponse): void {
    const now = performance.now();
    for (; this.#accepted < Number(response.acceptedSeq); this.#accepted++) this.#note(this.#measured.acceptMs, this.#accepted + 1, now, false);
    for (; this.#acked < Number(response.ackedSeq); this.#acked++) this.#note(this.#measured.ackMs, this.#acked + 1, now, true);
    this.onResponse();
  }

  #note(into: number[], seq: number, now: number, isLast: boolean): void {
    const sentAt = this.#sentAt.get(seq);
    if (sentAt === undefined) return;
    into.push(now - sentAt);
    if (isLast) this.#sentAt.delete(seq);
  }
}

async function measure(plan: Plan): Promise<Outcome> {
  const measured = { acceptMs: [] as number[], ackMs: [] as number[] };
  const trainers = plan.members.map((member) => new Trainer(plan, member, measured));
  for (const trainer of trainers) {
    trainer.connect();
    await sleep((plan.connectSeconds * 1000) / trainers.length);
  }
  const timers = plan.everySeconds > 0 ? trainers.map((trainer) => atIntervals(trainer, plan)) : trainers.map((trainer) => inWindow(trainer, plan));
  await sleep(plan.warmUpSeconds * 1000);
  process.send?.('begin');
  const before = { acked: trainers.map(({ acked }) => acked), sent: trainers.reduce((sum, { seq }) => sum + seq, 0) };
  for (const trainer of trainers) trainer.isMeasuring = true;
  await sleep(plan.seconds * 1000);
  const acked = trainers.reduce((sum, trainer, i) => sum + trainer.acked - (before.acked[i] ?? 0), 0);
  const messages = trainers.reduce((sum, { seq }) => sum + seq, 0) - before.sent;
  for (const stopTimer of timers) stopTimer();
  process.send?.('end');
  await sleep(plan.everySeconds > 0 ? 25_000 : 3000);
  for (const trainer of trainers) trainer.stop();
  const sorted = (values: number[]): number[] => values.sort((a, b) => a - b);
  return {
    streams: trainers.length, reconnects: trainers.reduce((sum, { reconnects }) => sum + reconnects, 0), messages,
    acceptMs: sorted(measured.acceptMs), ackMs: sorted(measured.ackMs), ackedPoints: acked * plan.pointsPerMessage, sent: trainers.map(({ seq }) => seq),
  };
}

function atIntervals(trainer: Trainer, { everySeconds, window }: Plan): () => void {
  let timer: NodeJS.Timeout | undefined;
  const first = setTimeout(() => {
    timer = setInterval(() => {
      if (trainer.inFlight < window) trainer.send();
    }, everySeconds * 1000);
  }, Math.random() * everySeconds * 1000);
  return () => {
    clearTimeout(first);
    clearInterval(timer);
  };
}

function inWindow(trainer: Trainer, { window }: Plan): () => void {
  let isStopped = false;
  const fill = (): void => {
    for (let free = window - trainer.inFlight; free > 0 && !isStopped; free--) trainer.send();
  };
  trainer.onResponse = fill;
  fill();
  return () => {
    isStopped = true;
  };
}

process.once('message', (plan: Plan) => {
  measure(plan).then((outcome) => process.send?.(outcome, () => process.disconnect()), (error: unknown) => {
    process.stderr.write(`${String(error)}\n`);
    process.exit(1);
  });
});
