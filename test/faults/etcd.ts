// Writes an object directly into the store, past every check of the API server: what an older definition let in.
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import type { ControlPlane } from '../../local/src/controlplane/start.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** Puts a custom resource where the API server keeps it. Throws when etcd refuses. */
export async function putStored({ paths, credentials }: ControlPlane, resource: Resource, object: KubeObject): Promise<void> {
  const { etcdClient } = JSON.parse(readFileSync(join(paths.pki, 'ports.json'), 'utf8')) as { etcdClient: number };
  const key = `/registry/${resource.apiVersion.split('/')[0] ?? ''}/${resource.plural}/${object.metadata.namespace ?? ''}/${object.metadata.name}`;
  const tls = { ca: readFileSync(credentials.etcdAuthorityFile), cert: readFileSync(credentials.etcdClient.certFile), key: readFileSync(credentials.etcdClient.keyFile) };
  const status = await new Promise<number>((resolve, reject) => {
    const sent = request(`https://127.0.0.1:${etcdClient}/v3/kv/put`, { method: 'POST', ...tls }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    sent.on('error', reject);
    sent.end(JSON.stringify({ key: base64(key), value: base64(JSON.stringify(object)) }));
  });
  if (status !== 200) throw new Error(`etcd answered ${status} to a put of ${key}, expected 200`);
}
