import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BatchV1Api, CoreV1Api, KubeConfig } from '@kubernetes/client-node';
import type { V1Job } from '@kubernetes/client-node';
import { openAuthority } from '../../local/src/controlplane/certificates.ts';
import { writeNodeCredentials } from '../../local/src/controlplane/credentials.ts';
import { clusterPaths } from '../../local/src/paths.ts';
import { processesOfCluster, waitUntilGone } from '../../local/src/process.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';

let cluster: TestCluster;

before(async () => {
  cluster = await startCluster({ controllers: true, restart: true });
});

after(() => cluster.stop());

const eventually = async <T>(what: string, ask: () => Promise<T | undefined>): Promise<T> => {
  const deadline = Date.now() + 60_000;
  let lastError: unknown;
  while (Date.now() < deadline) {
    try {
      const found = await ask();
      if (found !== undefined) return found;
    } catch (error) {
      lastError = error;
    }
    await sleep(100);
  }
  throw new Error(`not seen within 60 s: ${what}`, { cause: lastError });
};

const aJob = (name: string): V1Job => ({
  metadata: { name },
  spec: {
    completions: 2,
    parallelism: 2,
    completionMode: 'Indexed',
    template: { spec: { restartPolicy: 'Never', containers: [{ name: 'main', image: 'any', command: ['true'] }] } },
  },
});

test('makes the pods of an indexed Job, with a service account and the cluster authority for them', async () => {
  const namespace = await cluster.namespace('job');
  const [batch, core] = [cluster.adminConfig.makeApiClient(BatchV1Api), cluster.adminConfig.makeApiClient(CoreV1Api)];
  await eventually('the default service account', () => core.readNamespacedServiceAccount({ namespace, name: 'default' }));
  await eventually('the authority of the cluster', () => core.readNamespacedConfigMap({ namespace, name: 'kube-root-ca.crt' }));
  await batch.createNamespacedJob({ namespace, body: aJob('two') });
  const pods = await eventually('two pods', async () => {
    const { items } = await core.listNamespacedPod({ namespace });
    return items.length === 2 ? items : undefined;
  });
  const indexes = pods.map((pod) => pod.metadata?.annotations?.['batch.kubernetes.io/job-completion-index']).sort();
  assert.deepEqual(indexes, ['0', '1']);
});

test('tells why a pod cannot be scheduled when there is no node', async () => {
  const namespace = await cluster.namespace('pending');
  const core = cluster.adminConfig.makeApiClient(CoreV1Api);
  const pod = { metadata: { name: 'lonely' }, spec: { containers: [{ name: 'main', image: 'any' }] } };
  await eventually('the default service account', () => core.readNamespacedServiceAccount({ namespace, name: 'default' }));
  await core.createNamespacedPod({ namespace, body: pod });
  const message = await eventually('the condition of the scheduler', async () => {
    const { status } = await core.readNamespacedPod({ namespace, name: 'lonely' });
    return status?.conditions?.find((condition) => condition.type === 'PodScheduled' && condition.status === 'False')?.message;
  });
  assert.match(message, /no nodes available/);
});

test('comes back with its objects when the API server is killed', async () => {
  const namespace = await cluster.namespace('kept');
  const before_ = cluster.states().find((state) => state.name === 'kube-apiserver');
  assert.ok(cluster.signal('kube-apiserver', 'SIGKILL'));
  const core = cluster.adminConfig.makeApiClient(CoreV1Api);
  await eventually('a second API server', () => Promise.resolve(cluster.states().find((state) => state.name === 'kube-apiserver' && state.restarts === 1 && state.process !== undefined)));
  const found = await eventually('the namespace', () => core.readNamespace({ name: namespace }));
  assert.equal(found.metadata?.name, namespace);
  const now = cluster.states().find((state) => state.name === 'kube-apiserver');
  assert.notEqual(now?.process?.pid, before_?.process?.pid);
  assert.match(now?.lastExit ?? '', /SIGKILL/);
});

test('lets a node write its own Node and nothing of another', async () => {
  const paths = clusterPaths(cluster.dir);
  const authority = await openAuthority(paths.pki, 'ca');
  const server = cluster.adminConfig.getCurrentCluster()?.server ?? '';
  const dir = join(paths.nodes, 'one');
  mkdirSync(dir, { recursive: true });
  const { kubeconfig } = await writeNodeCredentials({ authority, server }, dir, { name: 'one', address: '127.0.0.1' });
  const asNode = new KubeConfig();
  asNode.loadFromFile(kubeconfig);
  const core = asNode.makeApiClient(CoreV1Api);
  const created = await core.createNode({ body: { metadata: { name: 'one' } } });
  assert.equal(created.metadata?.name, 'one');
  await assert.rejects(core.createNode({ body: { metadata: { name: 'other' } } }), /is not allowed to modify node|forbidden/);
  await assert.rejects(core.listNamespacedSecret({ namespace: 'kube-system' }), /forbidden/);
});

test('leaves no process when stopped', async () => {
  const short = await startCluster();
  assert.equal(processesOfCluster(short.dir).length, 2);
  await short.stop();
  assert.deepEqual(processesOfCluster(short.dir), []);
});

test('leaves no process when the process that started it is killed', async () => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'holdCluster.ts')], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [dir] = await Promise.race([
    createInterface({ input: child.stdout })[Symbol.asyncIterator]().next().then((line) => [String(line.value)]),
    sleep(120_000, [''], { ref: false }),
  ]);
  const processes = processesOfCluster(dir ?? '');
  assert.equal(processes.length, 4);
  child.kill('SIGKILL');
  assert.deepEqual(await waitUntilGone(processes, 5_000), []);
});
