// A trainer's reporting end: what it says is sent again on a new stream until the operator has acknowledged it, as real trainers do.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { setTimeout as sleep } from 'node:timers/promises';
import { TOKEN_AUDIENCE } from '../../operator/src/api/labels.ts';
import type { ReportRequestSchema } from '../../operator/src/gen/telemetry_pb.js';
import type { Pod } from '../../operator/src/run/objects.ts';
import { Trainer } from '../integration/ingestWorld.ts';
import type { World } from './world.ts';

export type Message = MessageInitShape<typeof ReportRequestSchema>;

const PATIENCE_MS = 60_000;

export interface Voice {
  readonly port: number;
  readonly caPem: string;
  readonly token: string;
}

/** What a pod needs to be heard: the token the kubelet would mount, and the CA of its run config. */
export async function voiceOf(world: World, pod: Pod): Promise<Voice> {
  const { name, uid } = pod.metadata;
  const secret = await world.admin.request<{ data: Record<string, string> }>('GET', `/api/v1/namespaces/${world.namespace}/secrets/polar-ingest-tls`);
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences: [TOKEN_AUDIENCE], expirationSeconds: 600, boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid } } };
  const { status: { token } } = await world.admin.request<{ status: { token: string } }>('POST', `/api/v1/namespaces/${world.namespace}/serviceaccounts/default/token`, { body });
  return { port: world.ingestPort, caPem: Buffer.from(secret.data['ca.crt'] ?? '', 'base64').toString('utf8'), token };
}

export function openStream({ port, caPem, token }: Voice): Trainer {
  return new Trainer({ port, caPem }, `Bearer ${token}`);
}

/** Sends the messages in the given order and resolves when the newest is acknowledged, over as many streams as it takes. Throws when a minute was not enough. */
export async function report(voice: Voice, messages: readonly Message[]): Promise<void> {
  const newest = Math.max(...messages.map(({ seq }) => Number(seq ?? 0)));
  const deadline = Date.now() + PATIENCE_MS;
  let acked = 0;
  while (Date.now() < deadline) {
    const stream = openStream(voice);
    let isOpen = true;
    void stream.ended.then(() => {
      isOpen = false;
    });
    const since = Date.now();
    for (const message of messages) if (Number(message.seq) > acked) stream.send(message);
    while (isOpen && stream.acked < newest && Date.now() - since < 5000) await sleep(20);
    acked = Math.max(acked, stream.acked);
    stream.drop();
    if (acked >= newest) return;
    await sleep(200);
  }
  throw new Error(`message ${newest} was not acknowledged within ${PATIENCE_MS / 1000} s`);
}

/** Tries once and returns the gRPC code of the refusal, or what was acknowledged. */
export async function tryReport(voice: Voice, messages: readonly Message[]): Promise<string> {
  const stream = openStream(voice);
  for (const message of messages) stream.send(message);
  const outcome = await Promise.race([stream.ended.then(({ code }) => `code ${code}`), sleep(1500, 'no refusal')]);
  stream.drop();
  return outcome;
}
