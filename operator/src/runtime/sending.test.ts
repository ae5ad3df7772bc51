import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { clientFor } from './client.ts';

test('keeps a request back that was refused when its turn on a connection came', async () => {
  const got: string[] = [];
  const server = createServer((request, response) => {
    got.push(request.url ?? '');
    // Longer than it takes for the connections of the pool to be taken.
    setTimeout(() => response.end('{}'), 100);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: 'c', skipTLSVerify: true, server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }, { name: 'u' });
  const client = await clientFor(config);
  let isClosed = false;
  const beforeSend = (): void => {
    if (isClosed) throw new Error('closed');
  };
  const early = Array.from({ length: 64 }, (_, index) => client.request('POST', `/early-${index}`, { body: {}, beforeSend }));
  const late = Array.from({ length: 8 }, (_, index) => client.request('POST', `/late-${index}`, { body: {}, beforeSend }));
  setTimeout(() => { isClosed = true; }, 70);
  const [done, refused] = [await Promise.allSettled(early), await Promise.allSettled(late)];
  assert.ok(done.every(({ status }) => status === 'fulfilled'));
  assert.ok(refused.every((one) => one.status === 'rejected' && /closed/.test(String(one.reason))));
  assert.ok(got.every((path) => path.startsWith('/early-')), 'none of the late ones reached the server');
  await client.close();
  server.close();
});
