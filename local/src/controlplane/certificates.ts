// The cluster's own certificate authority, the certificates it signs, and the service-account key.
import 'reflect-metadata';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const dayMs = 24 * 60 * 60 * 1000;
const authorityDays = 3650;
const leafDays = 365;

type Key = Awaited<ReturnType<typeof crypto.subtle.importKey>>;
interface Keys { readonly publicKey: Key; readonly privateKey: Key }

/** PEM texts of a certificate and its private key. */
export interface KeyPair { readonly certificate: string; readonly key: string }

export interface LeafRequest {
  readonly commonName: string;
  /** Groups in a client certificate. */
  readonly organization?: string;
  readonly dnsNames?: readonly string[];
  readonly ipAddresses?: readonly string[];
}

export interface Authority {
  readonly certificate: string;
  readonly key: string;
  readonly sign: (request: LeafRequest) => Promise<KeyPair>;
}

// Clocks of a laptop that just woke up may lie: certificates are valid from a day ago.
const validity = (days: number): { notBefore: Date; notAfter: Date } => ({
  notBefore: new Date(Date.now() - dayMs),
  notAfter: new Date(Date.now() + days * dayMs),
});

const serialNumber = (): string => Buffer.from(crypto.getRandomValues(new Uint8Array(15))).toString('hex').replace(/^./, '1');

const newKeys = (): Promise<Keys> => crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);

const privatePem = async (key: Key): Promise<string> =>
  `${x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY')}\n`;

const publicPem = async (key: Key): Promise<string> =>
  `${x509.PemConverter.encode(await crypto.subtle.exportKey('spki', key), 'PUBLIC KEY')}\n`;

const importKey = (pem: string): Promise<Key> =>
  crypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(pem), algorithm, true, ['sign']);

const writeSecret = (file: string, text: string): void => writeFileSync(file, text, { mode: 0o600 });

/** Writes `<name>.crt` and `<name>.key` below `dir` and returns both paths. */
export const writeKeyPair = (dir: string, name: string, pair: KeyPair): { certFile: string; keyFile: string } => {
  const files = { certFile: join(dir, `${name}.crt`), keyFile: join(dir, `${name}.key`) };
  writeFileSync(files.certFile, pair.certificate);
  writeSecret(files.keyFile, pair.key);
  return files;
};

const subjectName = (request: LeafRequest): x509.Name =>
  new x509.Name([...(request.organization === undefined ? [] : [{ O: [request.organization] }]), { CN: [request.commonName] }]);

const leafExtensions = (request: LeafRequest): x509.Extension[] => {
  const names: x509.JsonGeneralNames = [
    ...(request.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(request.ipAddresses ?? []).map((value) => ({ type: 'ip' as const, value })),
  ];
  const usages = [x509.ExtendedKeyUsage.clientAuth, ...(names.length > 0 ? [x509.ExtendedKeyUsage.serverAuth] : [])];
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension(usages),
    ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
  ];
};

const signLeaf = async (authority: KeyPair, request: LeafRequest): Promise<KeyPair> => {
  const [keys, signingKey] = await Promise.all([newKeys(), importKey(authority.key)]);
  const certificate = await x509.X509CertificateGenerator.create({
    ...validity(leafDays),
    serialNumber: serialNumber(),
    subject: subjectName(request),
    issuer: new x509.X509Certificate(authority.certificate).subjectName,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    extensions: leafExtensions(request),
  });
  return { certificate: `${certificate.toString('pem')}\n`, key: await privatePem(keys.privateKey) };
};

const newAuthority = async (commonName: string): Promise<KeyPair> => {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity(authorityDays),
    serialNumber: serialNumber(),
    name: new x509.Name([{ CN: [commonName] }]),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: `${certificate.toString('pem')}\n`, key: await privatePem(keys.privateKey) };
};

/** Opens the authority kept as `<name>.crt` and `<name>.key` below `dir`, or makes it there on first use. */
export const openAuthority = async (dir: string, name: string): Promise<Authority> => {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const [certFile, keyFile] = [join(dir, `${name}.crt`), join(dir, `${name}.key`)];
  if (!existsSync(keyFile) || !existsSync(certFile)) writeKeyPair(dir, name, await newAuthority(`polar-local-${name}`));
  const pair = { certificate: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  return { ...pair, sign: (request) => signLeaf(pair, request) };
};

/** Keeps the key that signs service-account tokens, so that tokens outlive a restart of the control plane. */
export const openServiceAccountKey = async (dir: string): Promise<{ privateFile: string; publicFile: string }> => {
  const files = { privateFile: join(dir, 'service-account.key'), publicFile: join(dir, 'service-account.pub') };
  if (existsSync(files.privateFile) && existsSync(files.publicFile)) return files;
  const keys = await newKeys();
  writeFileSync(files.publicFile, await publicPem(keys.publicKey));
  writeSecret(files.privateFile, await privatePem(keys.privateKey));
  return files;
};
