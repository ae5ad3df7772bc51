// A corpus of the toy policies: sampled models behind a real OpenAI-compatible server, read by the trainer.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { repositoryRoot } from '../../local/src/paths.ts';
import { aConfig, rowsOf, runWorker } from './generateWorld.ts';

test('toy policies continue the logbook, each in its own way, the same when asked again', { timeout: 200_000 }, async () => {
  const server = spawn(join(repositoryRoot, 'trainer/.venv/bin/python'), [join(repositoryRoot, 'demo/toy_server.py'), '--policies', '3'], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const [url] = (await once(createInterface(server.stdout), 'line')) as [string];
    const { data } = (await (await fetch(`${url}/models`)).json()) as { data: { id: string }[] };
    const base = aConfig(url, data.map(({ id }) => id));
    const config = { ...base, prompts: { sources: [{ path: join(repositoryRoot, 'demo/text/logbook.txt'), limit: 60 }], prefixTokens: { least: 3, most: 6 } } };
    config.policies = config.policies.map((one) => ({ ...one, timeoutSeconds: 60 }));
    const { end, stderr } = await runWorker(config);
    assert.equal(end?.reason, 'complete', stderr);
    const rows = await rowsOf(config.output);
    assert.equal(new Set(rows.map(({ policy }) => policy)).size, 3);
    assert.ok(rows.filter(({ output }) => /^[ ,.][a-z ,.]+\.$/.test(String(output))).length > rows.length / 2);
    const [row] = rows;
    const again = await fetch(`${url}/completions`, { method: 'POST', body: JSON.stringify({ model: row?.policy, prompt: row?.prompt, seed: Number(row?.['seed']), max_tokens: 64, temperature: 1, top_p: 0.9, top_k: 50 }) });
    const { choices } = (await again.json()) as { choices: { text: string }[] };
    assert.ok(choices[0]?.text.startsWith(row?.output ?? '-'));
    assert.equal((await fetch(`${url}/completions`, { method: 'POST', body: JSON.stringify({ model: 'toy-00', prompt: 'x', temperature: -1 }) })).status, 400);
    assert.equal((await fetch(`${url}/completions`, { method: 'POST', body: JSON.stringify({ model: 'toy-09', prompt: 'x' }) })).status, 404);
  } finally {
    server.kill();
  }
});
