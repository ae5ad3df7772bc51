// The few requests the starter itself makes, over HTTPS with a client certificate.
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { parse } from 'yaml';

export interface ApiClient {
  readonly server: string;
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

export interface Answer { readonly status: number; readonly body: string }

interface Kubeconfig {
  clusters: { cluster: { server: string; 'certificate-authority-data': string } }[];
  users: { user: { 'client-certificate-data': string; 'client-key-data': string } }[];
}

const text = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8');

/** Reads a kubeconfig as this project writes them: one context, everything embedded. */
export const readKubeconfig = (file: string): ApiClient => {
  const config = parse(readFileSync(file, 'utf8')) as Kubeconfig;
  const [cluster, user] = [config.clusters[0]?.cluster, config.users[0]?.user];
  if (cluster === undefined || user === undefined) throw new Error(`${file}: expected one cluster and one user`);
  return {
    server: cluster.server,
    authority: text(cluster['certificate-authority-data']),
    certificate: text(user['client-certificate-data']),
    key: text(user['client-key-data']),
  };
};

/** GETs `path`; rejects when the server does not answer within five seconds. */
export const get = (client: ApiClient, path: string): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const sent = request(new URL(path, client.server), { ca: client.authority, cert: client.certificate, key: client.key, timeout: 5_000 }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }));
    });
    sent.on('timeout', () => sent.destroy(new Error(`${client.server}${path}: no answer within 5 s`)));
    sent.on('error', reject);
    sent.end();
  });

/** GETs `path` and parses the JSON answer; undefined on 404. */
export const getJson = async <T>(client: ApiClient, path: string): Promise<T | undefined> => {
  const answer = await get(client, path);
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw new Error(`GET ${client.server}${path}: expected status 200, got ${answer.status}: ${answer.body.slice(0, 300)}`);
  return JSON.parse(answer.body) as T;
};
