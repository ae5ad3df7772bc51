// The certificate of a running server: looked at from time to time, replaced without ending a connection.
import { X509Certificate } from 'node:crypto';
import { experimental } from '@grpc/grpc-js';
import type { ServerCredentials } from '@grpc/grpc-js';
import type { KubeClient } from '../runtime/client.ts';
import { jittered } from '../runtime/clock.ts';
import type { Log } from '../runtime/log.ts';
import { ensureCertificate } from './certificate.ts';
import type { Certificate } from './certificate.ts';
import type { IngestMetrics } from './metrics.ts';

export interface ServingOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly log: Log;
  readonly metrics: IngestMetrics;
  readonly now: () => Date;
  readonly lookEveryMs: number;
}

export interface Serving {
  readonly credentials: ServerCredentials;
  /** What clients must trust, as of now. */
  readonly caPem: () => string;
  readonly stop: () => void;
}

/** Takes or makes the certificate in the Secret, and keeps it current. Throws when it cannot be had. */
export async function serveCertificate(options: ServingOptions): Promise<Serving> {
  const { client, namespace, log, metrics, now, lookEveryMs } = options;
  let current = await ensureCertificate(client, namespace, now());
  const provided = provider(() => current);
  const tell = (): void => metrics.certificateEnd.set(new X509Certificate(current.certificatePem).validToDate.getTime() / 1000);
  const look = async (): Promise<void> => {
    try {
      const before = current;
      current = await ensureCertificate(client, namespace, now(), before);
      tell();
      if (before.certificatePem === current.certificatePem) return;
      provided.replaced();
      log.info({ validTo: new X509Certificate(current.certificatePem).validTo, newAuthority: before.caPem !== current.caPem }, 'serving certificate replaced');
    } catch (error) {
      log.warn({ err: error }, 'serving certificate not looked at, trying again');
    }
  };
  tell();
  const timer = setInterval(() => void look(), jittered(lookEveryMs));
  return { credentials: provided.credentials, caPem: () => current.caPem, stop: () => clearInterval(timer) };
}

/** Credentials whose certificate can be replaced while the server runs: new connections get the new one. */
function provider(current: () => Certificate): { credentials: ServerCredentials; replaced: () => void } {
  const update = (): experimental.IdentityCertificateUpdate => ({ certificate: Buffer.from(current().certificatePem), privateKey: Buffer.from(current().keyPem) });
  const listeners = new Set<experimental.IdentityCertificateUpdateListener>();
  const certificates: experimental.CertificateProvider = {
    addCaCertificateListener: () => undefined,
    removeCaCertificateListener: () => undefined,
    addIdentityCertificateListener: (listener) => {
      listeners.add(listener);
      // Not at once: the server does not yet listen to the credentials that listen to this.
      process.nextTick(() => listener(update()));
    },
    removeIdentityCertificateListener: (listener) => listeners.delete(listener),
  };
  return {
    // The declaration names the parameters the other way round: the first one is the identity of the server.
    credentials: experimental.createCertificateProviderServerCredentials(certificates, null, false),
    replaced: () => {
      for (const listener of listeners) listener(update());
    },
  };
}
