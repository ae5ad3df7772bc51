// The certificate trainers see: an own CA and a serving certificate below it, in a Secret all replicas share.
//
//   10 years ----- 2 years left: the next CA is made and trusted ----- 1 year left: it signs ----- end: no longer trusted
//
// An attempt trusts what was trusted when it began, so one that lives for less than a year never meets a stranger.
import 'reflect-metadata';
import { X509Certificate, createPrivateKey, randomBytes } from 'node:crypto';
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
const NEXT_CA_DAYS = 730;
const SWITCH_CA_DAYS = 365;
// Clocks of nodes may be behind the operator's.
const BACKDATE_MS = 300_000;
const RACES = 5;

/** PEM texts. caPem is what a client must trust: the CA that signs, then the one before or after it, if any. certificatePem and keyPem are what the server shows. */
export interface Certificate {
  readonly caPem: string;
  readonly caKeyPem: string;
  /** Key of the second CA while that one is the next; empty otherwise. */
  readonly nextKeyPem: string;
  readonly certificatePem: string;
  readonly keyPem: string;
}

type Authority = Pick<Certificate, 'caPem' | 'caKeyPem'>;

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
 * serving certificate is renewed 30 days before its end, the CA long before its own, and an unusable Secret is replaced whole.
 * Of several replicas that try at once one wins and the others take what it wrote. `held` is what this process serves
 * with: its CA, which running trainers trust, is put back should the Secret be gone or unusable. Throws ApiError.
 */
export async function ensureCertificate(client: KubeClient, namespace: string, now: Date, held?: Certificate): Promise<Certificate> {
  const names = servingNames(namespace);
  for (let race = 0; ; race++) {
    const secret = await get<Secret>(client, SECRETS, { namespace, name: SECRET_NAME });
    const found = secret === undefined ? undefined : certificateFrom(secret);
    const made = await renewed(names, now, [found, held].find((one) => one !== undefined && isUsableCa(one, now)));
    if (made === found && found !== undefined) return found;
    try {
      await write(client, namespace, secret, made);
      return made;
    } catch (error) {
      if (race >= RACES || !(isConflict(error) || isAlreadyExists(error))) throw error;
    }
  }
}

/** What to serve with at that time in place of `before`: itself when nothing is due. */
async function renewed(names: readonly string[], now: Date, before: Certificate | undefined): Promise<Certificate> {
  if (before === undefined) return issue(names, now);
  const turned = await withAuthorities(before, now);
  return isUsable(turned, names, daysAfter(now, RENEW_DAYS)) ? turned : issue(names, now, turned);
}

/** A serving certificate for the names, below the CA of `before` if that CA outlives it, else below a new CA. */
export async function issue(names: readonly string[], now: Date, before?: Certificate): Promise<Certificate> {
  const notBefore = new Date(now.getTime() - BACKDATE_MS);
  const notAfter = daysAfter(now, SERVING_DAYS);
  const ca = before !== undefined && isUsableCa(before, notAfter) ? before : { ...(await newCa(notBefore, now)), nextKeyPem: '' };
  const [signer = ''] = certificatesIn(ca.caPem);
  const issuer = new x509.X509Certificate(signer);
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
  const { caPem, caKeyPem, nextKeyPem } = ca;
  return { caPem, caKeyPem, nextKeyPem, certificatePem: `${serving.toString('pem')}\n`, keyPem: await exportKey(keys.privateKey) };
}

/** With the next CA made when the present one has two years left, in its place when it has one, and without what has ended. */
async function withAuthorities(certificate: Certificate, now: Date): Promise<Certificate> {
  const { caPem, caKeyPem, nextKeyPem } = certificate;
  const [signer = '', second] = certificatesIn(caPem);
  const endsWithin = (pem: string, days: number): boolean => new X509Certificate(pem).validToDate <= daysAfter(now, days);
  if (second !== undefined && nextKeyPem !== '') {
    const next = { caPem: second + signer, caKeyPem: nextKeyPem, nextKeyPem: '' };
    return endsWithin(signer, SWITCH_CA_DAYS) && isUsableCa(next, now) ? { ...certificate, ...next } : certificate;
  }
  if (endsWithin(signer, NEXT_CA_DAYS)) {
    const next = await newCa(new Date(now.getTime() - BACKDATE_MS), now);
    return withAuthorities({ ...certificate, caPem: signer + next.caPem, caKeyPem, nextKeyPem: next.caKeyPem }, now);
  }
  return second !== undefined && endsWithin(second, 0) ? { ...certificate, caPem: signer } : certificate;
}

function certificatesIn(pem: string): string[] {
  return (pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []).map((one) => `${one}\n`);
}

function daysAfter(at: Date, days: number): Date {
  return new Date(at.getTime() + days * DAY_MS);
}

async function newCa(notBefore: Date, now: Date): Promise<Authority> {
  const keys = await newKeys();
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${SERVICE_NAME} CA ${now.toISOString().slice(0, 10)} ${randomBytes(4).toString('hex')}`, notBefore, notAfter: daysAfter(now, CA_DAYS), keys, signingAlgorithm: ECDSA,
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

function isUsableCa(certificate: Authority, until: Date): boolean {
  try {
    const ca = new X509Certificate(certificate.caPem);
    return ca.ca && ca.validToDate > until && ca.checkPrivateKey(createPrivateKey(certificate.caKeyPem));
  } catch {
    return false;
  }
}

function certificateFrom(secret: Secret): Certificate {
  const text = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
  return { caPem: text('ca.crt'), caKeyPem: text('ca.key'), nextKeyPem: text('next-ca.key'), certificatePem: text('tls.crt'), keyPem: text('tls.key') };
}

async function write(client: KubeClient, namespace: string, before: Secret | undefined, made: Certificate): Promise<void> {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const data = { 'ca.crt': base64(made.caPem), 'ca.key': base64(made.caKeyPem), 'next-ca.key': base64(made.nextKeyPem), 'tls.crt': base64(made.certificatePem), 'tls.key': base64(made.keyPem) };
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
