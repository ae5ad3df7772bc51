// Endpoints that lie, hang, stream forever or answer with something else: the policy is named, the rest goes on, no row is wrong.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { answerTo, startEndpoint, textOf, type Fault } from './generateEndpoint.ts';
import { aConfig, freshPath, rowsOf, runWorker, type ConfigInput, type Line } from './generateWorld.ts';

const json = { 'content-type': 'application/json' };
const instead = (status: number, body: string | Buffer, headers: Record<string, string> = json): Fault => (_, response) => {
  response.writeHead(status, headers).end(body);
  return true;
};

/** One policy of three misbehaves; the others must get all their rows. */
async function against(fault: Fault, rest: Partial<ConfigInput> & { lines?: number } = {}): Promise<{ end: Line; bad: Line['policies'][string]; config: ConfigInput; asked: number; badRows: number }> {
  const endpoint = await startEndpoint();
  try {
    endpoint.faults.set('bad', fault);
    const config = aConfig(endpoint.url, ['good', 'fine', 'bad'], { lines: 30, ...rest });
    config.policies = config.policies.map((one) => ({ ...one, timeoutSeconds: 1 }));
    const { code, end, stderr } = await runWorker(config);
    assert.equal(code, 0, stderr);
    assert.ok(end !== undefined);
    const rows = await rowsOf(config.output);
    for (const { policy, prompt, output, seed } of rows) assert.equal(output, textOf({ model: policy, prompt, messages: undefined, seed: Number(seed) }));
    assert.equal(new Set(rows.map(({ prefix, policy, sample }) => `${String(prefix)} ${policy} ${String(sample)}`)).size, rows.length);
    const honest = new Set(endpoint.asked.filter(({ model }) => model !== 'bad').map(({ prompt, model, seed }) => `${String(prompt)} ${model} ${String(seed)}`));
    assert.equal(rows.filter(({ policy }) => policy !== 'bad').length, honest.size);
    assert.ok(honest.size >= 40);
    const bad = end.policies['bad'];
    assert.ok(bad !== undefined);
    return { end, bad, config, asked: endpoint.asked.filter(({ model }) => model === 'bad').length, badRows: rows.filter(({ policy }) => policy === 'bad').length };
  } finally {
    await endpoint.close();
  }
}

const HOPELESS: Record<string, [Fault, RegExp]> = {
  'HTML': [instead(200, '<!doctype html><html>Log in</html>', { 'content-type': 'text/html' }), /HTML instead of JSON/],
  'an empty body': [instead(200, ''), /an empty body/],
  'invalid UTF-8': [instead(200, Buffer.from([0x7b, 0xff, 0xfe, 0x7d])), /not UTF-8/],
  'JSON of another shape': [instead(200, '{"choices":[]}'), /not a completion: choices/],
  'two choices for one': [instead(200, '{"choices":[{"text":"a"},{"text":"b"}]}'), /not a completion: choices/],
  'a redirect': [instead(302, '', { location: 'http://127.0.0.1:1/' }), /HTTP 302/],
  'server errors': [instead(500, 'out of memory'), /HTTP 500: out of memory/],
  'a body of 100 MB': [(_, response) => {
    response.writeHead(200, json);
    const chunk = Buffer.alloc(2 ** 20, 0x20);
    let left = 100;
    const more = (): void => { if (!response.destroyed) { if ((left -= 1) < 0) response.end(); else response.write(chunk, more); } };
    more();
    return true;
  }, /longer than/],
  'a stream that never ends': [(_, response) => {
    response.writeHead(200, json);
    const timer = setInterval(() => response.write(' '), 50);
    response.on('close', () => { clearInterval(timer); });
    return true;
  }, /no whole answer within 1 s/],
  'silence': [() => true, /no whole answer within 1 s/],
  '429 with a Retry-After of years': [instead(429, '', { ...json, 'retry-after': '99999999' }), /no answer for 1 s, HTTP 429/],
  'connections that break': [(_, response) => { response.writeHead(200, { ...json, 'content-length': '1000' }).write('{'); setTimeout(() => response.destroy(), 5); return true; }, /./],
};

for (const [name, [fault, reason]] of Object.entries(HOPELESS)) {
  test(`a policy that gives ${name} is parked with the reason, the rest goes on`, { timeout: 120_000 }, async () => {
    const { end, bad, badRows } = await against(fault);
    assert.equal(end.reason, 'partial');
    assert.equal(bad.state, 'parked');
    assert.match(bad.why ?? '', reason);
    assert.equal(badRows, 0);
  });
}

test('a wrong key parks its policy after a few requests, is never shown, and the right one goes on later', { timeout: 120_000 }, async () => {
  const endpoint = await startEndpoint({ key: 'right' });
  const [right, wrong] = [freshPath('key'), freshPath('key')];
  writeFileSync(right, 'right\n');
  writeFileSync(wrong, 'sk-wrong-secret\n');
  const config = aConfig(endpoint.url, ['a', 'b', 'c'], { lines: 30 });
  config.policies = config.policies.map((one) => ({ ...one, keyPath: one.name === 'c' ? wrong : right }));
  const first = await runWorker(config);
  assert.equal(first.end?.reason, 'partial');
  assert.match(first.end.policies['c']?.why ?? '', /HTTP 401/);
  assert.ok(endpoint.asked.filter(({ model }) => model === 'c').length <= 8);
  assert.ok(!`${first.stderr}${JSON.stringify(first.lines)}`.includes('wrong-secret'));
  writeFileSync(wrong, 'right');
  const second = await runWorker(config);
  assert.equal(second.end?.reason, 'complete');
  assert.equal((await rowsOf(config.output)).length, 90);
  config.policies = config.policies.map((one) => ({ ...one, keyPath: `${right}-missing` }));
  assert.equal((await runWorker(config)).end?.reason, 'complete');
  await endpoint.close();
});

test('429 with and without Retry-After is waited for and costs nothing', { timeout: 120_000 }, async () => {
  for (const headers of [{ ...json, 'retry-after': '0.2' }, json] as Record<string, string>[]) {
    const { end, bad, badRows, asked } = await against((request, response, count) => (count % 3 === 0 ? instead(429, 'slow down', headers)(request, response, count) : false));
    assert.equal(end.reason, 'complete');
    assert.ok(badRows > 0 && asked > badRows);
    assert.ok((bad.errors['HTTP 429'] ?? 0) > 0);
    assert.equal(bad.lost.tokens, 0);
  }
});

test('an endpoint that recovers gets all its rows', { timeout: 120_000 }, async () => {
  const { end, badRows, bad } = await against((request, response, count) => (count < 9 ? instead(503, 'starting')(request, response, count) : false));
  assert.equal(end.reason, 'complete');
  assert.ok(badRows > 0 && (bad.errors['HTTP 503'] ?? 0) >= 5);
});

test('a request that is refused for good is counted and not asked again; a policy that refuses everything is parked', { timeout: 120_000 }, async () => {
  const some = await against((request, response, count) => (count === 2 ? instead(400, 'too long')(request, response, count) : false));
  assert.equal(some.end.reason, 'complete');
  assert.equal(some.bad.refused, 1);
  assert.equal(some.end.rows, 89);
  const all = await against(instead(422, 'top_k?'), { lines: 60 });
  assert.match(all.bad.why ?? '', /refused 20 requests in a row, HTTP 422: top_k\?/);
});

test('token counts that cannot be and names of other models are not believed', { timeout: 120_000 }, async () => {
  const lies = [{ prompt_tokens: -5, completion_tokens: 3 }, { prompt_tokens: 5, completion_tokens: 1e9 }, 'many', undefined];
  const { end, bad, badRows, config } = await against((request, response, count) => {
    const answer = { ...(JSON.parse(answerTo(request)) as object), usage: lies[count % lies.length], model: 'another' };
    return instead(200, JSON.stringify(answer))(request, response, count);
  }, { budget: { tokens: 1_000_000 } });
  assert.equal(end.reason, 'complete');
  assert.equal(bad.uncounted, badRows);
  assert.equal(bad.otherModel, badRows);
  assert.ok((await rowsOf(config.output)).filter(({ policy }) => policy === 'bad').every((row) => row['endpoint_model'] === 'another' && (row['tokens_in'] === null || row['tokens_out'] === null)));
  assert.ok(end.spent.tokens < 1_000_000);
});

test('a volume without room ends it with a clear error, and nothing half-written is left', { timeout: 120_000 }, async () => {
  const endpoint = await startEndpoint();
  const config = aConfig(endpoint.url, ['a', 'b'], { lines: 200, shardPrefixes: 100 });
  // A limit on the size of files gives the error that a full volume gives, to this process alone.
  const limited = ['python3', '-c', 'import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (60000, 60000)); os.execvp(sys.argv[1], sys.argv[1:])'];
  const { code, stderr } = await runWorker(config, 0, limited);
  assert.equal(code, 14, stderr);
  assert.match(stderr, /no room left to write \(EFBIG\)/);
  assert.deepEqual(await rowsOf(config.output), []);
  const again = await runWorker(config);
  assert.equal(again.end?.reason, 'complete');
  assert.equal((await rowsOf(config.output)).length, 600);
  await endpoint.close();
});
