// Against a real OTLP/HTTP receiver and a real connection, in a process of its own, as the variables are read once.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { clientFor } from './runtime/client.ts';
import { runController } from './runtime/controller.ts';
import type { Log } from './runtime/log.ts';
import { WorkQueue } from './runtime/queue.ts';
import { startTracing } from './tracing.ts';

interface Value { readonly stringValue?: string; readonly intValue?: number | string }
interface Span {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: Value }[];
  readonly status: { readonly code?: number; readonly message?: string };
}
interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Span['attributes'] };
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

const quiet = (): undefined => undefined;
const silent: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet, child: () => silent };
const attribute = (attributes: Span['attributes'], key: string): unknown => {
  const value = attributes.find((one) => one.key === key)?.value;
  return value?.stringValue ?? (value?.intValue === undefined ? undefined : Number(value.intValue));
};

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<{ readonly server: Server; readonly url: string }> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test('sends a span for each reconcile with its API requests below it', async () => {
  const exports: Export[] = [];
  const paths: string[] = [];
  const receiver = await serve((request, response) => {
    paths.push(request.url ?? '');
    void textOf(request).then((text) => {
      exports.push(JSON.parse(text) as Export);
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  const api = await serve((request, response) => response.writeHead(request.method === 'GET' ? 200 : 409, { 'content-type': 'application/json' }).end('{}'));
  const config = new KubeConfig();
  config.loadFromClusterAndUser({ name: 'c', server: api.url, skipTLSVerify: true }, { name: 'u' });
  const client = await clientFor(config);
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = receiver.url;
  const endTracing = await startTracing(process.env);
  await client.request('GET', '/outside');
  const queue = new WorkQueue('traced');
  const stop = new AbortController();
  queue.add('team/demo');
  await runController({
    name: 'polarpretrain', queue, caches: [], log: silent, workers: 1, fieldsOf: () => ({ uid: 'u-1', attempt: 2 }),
    reconcile: async () => {
      stop.abort();
      await client.request('GET', '/api/v1/namespaces/team/pods/p');
      await client.request('POST', '/api/v1/namespaces/team/services', { body: {} });
      return {};
    },
  }, stop.signal);
  await endTracing();
  await client.close();
  receiver.server.close();
  api.server.close();

  assert.deepEqual(paths, ['/v1/traces']);
  const [resource] = exports.flatMap(({ resourceSpans }) => resourceSpans);
  assert.equal(attribute(resource?.resource.attributes ?? [], 'service.name'), 'polar-operator');
  const spans = resource?.scopeSpans.flatMap((scope) => scope.spans) ?? [];
  const [reconcile] = spans.filter(({ name }) => name === 'reconcile polarpretrain');
  assert.ok(reconcile !== undefined);
  for (const [key, value] of [['controller', 'polarpretrain'], ['namespace', 'team'], ['name', 'demo'], ['uid', 'u-1'], ['attempt', 2]] as const) assert.equal(attribute(reconcile.attributes, key), value, key);
  assert.equal(reconcile.status.code, 2, 'it failed with the refusal');
  const children = spans.filter(({ parentSpanId }) => parentSpanId === reconcile.spanId);
  assert.deepEqual(children.map(({ name, traceId, attributes }) => [name, traceId === reconcile.traceId, attribute(attributes, 'url.path'), attribute(attributes, 'http.response.status_code')]), [
    ['GET', true, '/api/v1/namespaces/team/pods/p', 200], ['POST', true, '/api/v1/namespaces/team/services', 409],
  ]);
  assert.equal(spans.length, 3, 'and nothing for a request outside of a reconcile');
});

test('says which variable it cannot use, and does nothing when none asks for traces', async () => {
  await assert.rejects(startTracing({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1', OTEL_TRACES_SAMPLER_ARG: 'often' }), /OTEL_TRACES_SAMPLER_ARG: expected a share from 0 to 1, got "often"/);
  await (await startTracing({}))();
});
