// The few requests the starter itself makes, over HTTPS with a client certificate.
import { request } from 'node:https';
import { readKubeconfig } from '../node/kubeconfig.ts';

export interface ApiClient {
  readonly server: string;
  readonly authority: string;
  readonly certificate: string;
  readonly key: string;
}

export interface Answer { readonly status: number; readonly body: string }

/** A client for a kubeconfig as this project writes them, with a client certificate. Throws Error when the file has none. */
export const clientFrom = (file: string): ApiClient => {
  const { server, ca, cert, key } = readKubeconfig(file);
  if (ca === undefined || cert === undefined || key === undefined) throw new Error(`${file}: expected a certificate authority, a client certificate and its key`);
  return { server: server.origin, authority: ca.toString('utf8'), certificate: cert.toString('utf8'), key: key.toString('utf8') };
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
