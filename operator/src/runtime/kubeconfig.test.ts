import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { loadKubeConfig } from './kubeconfig.ts';

/** What a request would carry with this user and cluster section. */
async function optionsOf(t: TestContext, user: object, cluster: object = {}, files: Readonly<Record<string, string>> = {}): Promise<{ server: string | undefined; options: RequestOptions }> {
  const folder = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
  t.after(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const file = join(folder, 'config');
  const config = {
    apiVersion: 'v1', kind: 'Config', 'current-context': 'here', contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://api:6443', ...cluster } }], users: [{ name: 'u', user }],
  };
  writeFileSync(file, JSON.stringify(config));
  const loaded = loadKubeConfig({ KUBECONFIG: file });
  const options: RequestOptions = {};
  await loaded.applyToHTTPSOptions(options);
  return { server: loaded.getCurrentCluster()?.server, options };
}

const text = (material: unknown): string => (Buffer.isBuffer(material) ? material.toString() : 'not a buffer');
const base64 = (plain: string): string => Buffer.from(plain).toString('base64');

test('logs in with a certificate, inline or in files beside the kubeconfig', async (t) => {
  const inline = await optionsOf(t, { 'client-certificate-data': base64('cert'), 'client-key-data': base64('key') }, { 'certificate-authority-data': base64('ca'), 'tls-server-name': 'api.example' });
  assert.deepEqual([inline.server, text(inline.options.ca), text(inline.options.cert), text(inline.options.key), inline.options.servername], ['https://api:6443', 'ca', 'cert', 'key', 'api.example']);
  const files = await optionsOf(t, { 'client-certificate': 'u.crt', 'client-key': 'u.key' }, {}, { 'u.crt': 'cert', 'u.key': 'key' });
  assert.deepEqual([text(files.options.cert), text(files.options.key)], ['cert', 'key']);
});

test('logs in with a token, and with the one in a file as it is now', async (t) => {
  assert.deepEqual((await optionsOf(t, { token: 'abc' })).options.headers, { authorization: 'Bearer abc' });
  assert.deepEqual((await optionsOf(t, { token: 'old', tokenFile: 'token' }, {}, { token: 'fresh\n' })).options.headers, { authorization: 'Bearer fresh' });
});

test('leaves a kubeconfig that asks for more to client-node', async (t) => {
  const { options } = await optionsOf(t, { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'sh', args: ['-c', 'echo \'{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"from-plugin"}}\''], interactiveMode: 'Never' } }, { 'insecure-skip-tls-verify': true });
  assert.equal(new Map(Object.entries(options.headers ?? {})).get('Authorization'), 'Bearer from-plugin');
});
