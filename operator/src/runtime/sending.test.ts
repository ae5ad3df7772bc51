import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { clientFor } from './client.ts';

test('keeps a request back that was refused when its turn on a connection came', async (t) => {
  const held: ServerResponse[] = [];
  const server = createServer((_request, response) => void held.push(response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: 'c', skipTLSVerify: true, server: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }, { name: 'u' });
  const client = await clientFor(config);
  t.after(async () => {
    await client.close();
    server.closeAllConnections();
    server.close();
  });
  let isClosed = false;
  const beforeSend = (): void => {
    if (isClosed) throw new Error('closed');
  };
  const asked = Array.from({ length: 200 }, (_, index) => client.request('POST', `/${index}`, { body: {}, beforeSend }));
  const settled = Promise.allSettled(asked);
  // Until every connection has a request, and the others wait for one.
  for (let before = -1; before !== held.length || before === 0;) {
    before = held.length;
    await sleep(300);
  }
  isClosed = true;
  const sent = held.length;
  assert.ok(sent > 0 && sent < asked.length, `${sent} of ${asked.length} requests have a connection`);
  for (const response of held) response.end('{}');
  const refused = (await settled).filter((one) => one.status === 'rejected' && /closed/.test(String(one.reason)));
  assert.deepEqual([held.length, refused.length], [sent, asked.length - sent], 'none of those that waited reached the server');
});
