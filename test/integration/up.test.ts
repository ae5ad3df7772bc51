import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { kubectl } from '../../local/src/apply.ts';
import { clusterPaths, localRoot, repositoryRoot } from '../../local/src/paths.ts';
import { processesOfCluster, signalProcess, waitUntilGone } from '../../local/src/process.ts';
import { readState } from '../../local/src/state.ts';

mkdirSync(join(localRoot, 'test'), { recursive: true });
const dir = mkdtempSync(join(localRoot, 'test', 'up-'));
const paths = clusterPaths(dir);

interface Ended { readonly code: number | null; readonly stdout: string; readonly stderr: string }

const start = (...args: string[]): { child: ReturnType<typeof spawn>; ended: Promise<Ended> } => {
  const child = spawn(process.execPath, [join(repositoryRoot, 'local/src/cli.ts'), ...args, '--dir', dir], { stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => { stdout += chunk.toString(); });
  child.stderr.on('data', (chunk: Buffer) => { stderr += chunk.toString(); });
  return { child, ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr }))) };
};

const cli = (...args: string[]): Promise<Ended> => start(...args).ended;
const up = (): Promise<Ended> => cli('up', '--owner', String(process.pid));

after(() => cli('down'));

test('comes up with a ready node, says so the second time, and keeps its objects when everything is killed', async () => {
  const first = await up();
  assert.equal(first.code, 0, first.stderr);
  assert.equal(first.stdout.split('\n')[0], `export KUBECONFIG=${paths.kubeconfig}`);
  const status = await cli('status');
  assert.equal(status.code, 0, status.stdout);
  assert.match(status.stdout, /node local-1: Ready/);

  const second = await up();
  assert.equal(second.code, 0, second.stderr);
  assert.match(second.stderr, /already up/);
  const other = await cli('up', '--nodes', '2');
  assert.equal(other.code, 1);
  assert.match(other.stderr, /other settings already runs/);

  await kubectl(paths.kubeconfig, ['create', 'configmap', 'kept', '--from-literal=key=value']);
  const state = readState(paths);
  assert.ok(state);
  const all = processesOfCluster(dir);
  assert.ok(signalProcess(state.supervisor, 'SIGKILL'));
  assert.deepEqual(await waitUntilGone(all, 10_000), []);
  assert.equal((await cli('status')).code, 1);

  const third = await up();
  assert.equal(third.code, 0, third.stderr);
  assert.equal(await kubectl(paths.kubeconfig, ['get', 'configmap', 'kept', '-o', 'jsonpath={.data.key}']), 'value');

  const down = await cli('down');
  assert.equal(down.code, 0, down.stderr);
  assert.equal(existsSync(dir), false);
  assert.deepEqual(processesOfCluster(dir), []);
});

test('leaves no process when interrupted while it starts', async () => {
  const { child, ended } = start('up', '--owner', String(process.pid));
  while (processesOfCluster(dir).length < 2 && child.exitCode === null) await sleep(20);
  child.kill('SIGINT');
  const { code } = await ended;
  assert.notEqual(code, 0);
  assert.deepEqual(await waitUntilGone(processesOfCluster(dir), 10_000), []);
  assert.equal((await cli('down')).code, 0);
});
