// The certificate trainers see: an own CA and a serving certificate below it, in a Secret all replicas share.
import 'reflect-metadata';
import { X509Certificate, createPrivateKey } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { isAlreadyExists, isConflict } from '../runtime/apiError.ts';
import type { KubeClient } from '../runtime/client.ts';
import { pathOf } from '../runtime/object.ts';
import type { KubeObject, Resource } from '../runtime/object.ts';
import { create, get } from '../runtime/verbs.ts';

export const SERVICE_NAME = 'polar-ingest';
export const SECRET_NAME = 'polar-ingest-tls';

const SECRETS: Resource = { apiVersion: 'v1', kind: 'Secret', plural: 'secrets', namespaced: true };
const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;
const CA_DAYS = 3650;
const SERVING_DAYS = 90;
const RENEW_DAYS = 30;
// Clocks of nodes may be behind the operator's.
const BACKDATE_MS = 300_000;
const RACES = 5;

/** PEM texts. caPem is what a client must trust; certificatePem and keyPem are what the server shows. */
export interface Certificate {
  readonly caPem: string;
  readonly caKeyPem: string;
  readonly certificatePem: string;
  readonly keyPem: string;
}

interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

/** DNS names of the ingest Service in the operator's namespace. */
export function servingNames(namespace: string): string[] {
  return [SERVICE_NAME, `${SERVICE_NAME}.${namespace}`, `${SERVICE_NAME}.${namespace}.svc`, `${SERVICE_NAME}.${namespace}.svc.cluster.local`, 'localhost'];
}

/**
 * The certificate in the Secret polar-ingest-tls of the operator's namespace. It is made when there is none, the
 * serving certificate is renewed 30 days before its end under the same CA, and an unusable Secret is replaced whole.
 * Of several replicas that try at once one wins and the others take what it wrote. `held` is what this process serves
 * with: its CA, which running trainers trust, is put back should the Secret be gone or unusable. Throws ApiError.
 */
export async function ensureCertificate(client: KubeClient, namespace: string, now: Date, held?: Certificate): Promise<Certificate> {
  const names = servingNames(namespace);
  for (let race = 0; ; race++) {
    const secret = await get<Secret>(client, SECRETS, { namespace, name: SECRET_NAME });
    const found = secret === undefined ? undefined : certificateFrom(secret);
    if (found !== undefined && isUsable(found, names, new Date(now.getTime() + RENEW_DAYS * DAY_MS))) return found;
    const made = await issue(names, now, [found, held].find((one) => one !== undefined && isUsableCa(one, now)));
    try {
      await write(client, namespace, secret, made);
      return made;
    } catch (error) {
      if (race >= RACES || !(isConflict(error) || isAlreadyExists(error))) throw error;
    }
  }
}

/** A serving certificate for the names, below the CA of `before` if that CA outlives it, else below a new CA. */
export async function issue(names: readonly string[], now: Date, before?: Certificate): Promise<Certificate> {
  const notBefore = new Date(now.getTime() - BACKDATE_MS);
  const notAfter = new Date(now.getTime() + SERVING_DAYS * DAY_MS);
  const ca = before !== undefined && isUsableCa(before, notAfter) ? before : await newCa(notBefore, now);
  const issuer = new x509.X509Certificate(ca.caPem);
  const keys = await newKeys();
  const serving = await x509.X509CertificateGenerator.create({
    subject: `CN=${SERVICE_NAME}`, issuer: issuer.subject, notBefore, notAfter, signingAlgorithm: ECDSA,
    publicKey: keys.publicKey, signingKey: await importKey(ca.caKeyPem),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value }))),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return { caPem: ca.caPem, caKeyPem: ca.caKeyPem, certificatePem: `${serving.toString('pem')}\n`, keyPem: await exportKey(keys.privateKey) };
}

async function newCa(notBefore: Date, now: Date): Promise<Pick<Certificate, 'caPem' | 'caKeyPem'>> {
  const keys = await newKeys();
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${SERVICE_NAME} CA`, notBefore, notAfter: new Date(now.getTime() + CA_DAYS * DAY_MS), keys, signingAlgorithm: ECDSA,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { caPem: `${ca.toString('pem')}\n`, caKeyPem: await exportKey(keys.privateKey) };
}

/** Whether the server can show it to a client that asks for any of the names, until `until`. */
export function isUsable(certificate: Certificate, names: readonly string[], until: Date): boolean {
  try {
    const serving = new X509Certificate(certificate.certificatePem);
    const ca = new X509Certificate(certificate.caPem);
    return isUsableCa(certificate, until) && serving.validToDate > until && serving.checkIssued(ca) && serving.verify(ca.publicKey)
      && serving.checkPrivateKey(createPrivateKey(certificate.keyPem)) && names.every((name) => serving.checkHost(name) !== undefined);
  } catch {
    return false;
  }
}

function isUsableCa(certificate: Certificate, until: Date): boolean {
  try {
    const ca = new X509Certificate(certificate.caPem);
    return ca.ca && ca.validToDate > until && ca.checkPrivateKey(createPrivateKey(certificate.caKeyPem));
  } catch {
    return false;
  }
}

function certificateFrom(secret: Secret): Certificate {
  const text = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
  return { caPem: text('ca.crt'), caKeyPem: text('ca.key'), certificatePem: text('tls.crt'), keyPem: text('tls.key') };
}

async function write(client: KubeClient, namespace: string, before: Secret | undefined, made: Certificate): Promise<void> {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const data = { 'ca.crt': base64(made.caPem), 'ca.key': base64(made.caKeyPem), 'tls.crt': base64(made.certificatePem), 'tls.key': base64(made.keyPem) };
  if (before !== undefined) {
    await client.request('PUT', pathOf(SECRETS, { namespace, name: SECRET_NAME }), { body: { ...before, data } });
    return;
  }
  const secret: Secret = { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name: SECRET_NAME }, type: 'kubernetes.io/tls', data };
  await create(client, SECRETS, secret);
}

function newKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ECDSA, true, ['sign', 'verify']);
}

async function exportKey(key: CryptoKey): Promise<string> {
  return `${x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;
}

function importKey(pem: string): Promise<CryptoKey> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return crypto.subtle.importKey('pkcs8', der, ECDSA, false, ['sign']);
}
