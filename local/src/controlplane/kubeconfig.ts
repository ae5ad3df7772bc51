// Kubeconfig files with everything embedded, so that one file is one identity.
import { renameSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import type { KeyPair } from './certificates.ts';

export interface KubeconfigInput {
  readonly server: string;
  readonly authority: string;
  readonly user: string;
  readonly credentials: KeyPair;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** Writes a kubeconfig with one context, readable by its owner only; replaces the file in one step. */
export const writeKubeconfig = (file: string, input: KubeconfigInput): void => {
  const name = 'polar-local';
  const text = stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server: input.server, 'certificate-authority-data': base64(input.authority) } }],
    users: [{ name: input.user, user: { 'client-certificate-data': base64(input.credentials.certificate), 'client-key-data': base64(input.credentials.key) } }],
    contexts: [{ name, context: { cluster: name, user: input.user, namespace: 'default' } }],
  }, { lineWidth: 0 });
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
};
