// What survives when the agent or the API server dies: no process without an agent, no pod without a true status.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { V1Pod } from '@kubernetes/client-node';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { claimOf, create, eventually, kubectl, mainOf, namespaceOn, podOf, processesWith, readPod, shell, startTestNode, testImages as images } from './nodeAgent.ts';
import type { TestNode } from './nodeAgent.ts';

let cluster: TestCluster;
let node: TestNode;

const reaches = (namespace: string, name: string, phase: string): Promise<V1Pod> => eventually(`pod ${name} ${phase}`, async () => {
  const pod = await readPod(cluster, namespace, name);
  return pod.status?.phase === phase ? pod : undefined;
});
const logsOf = (namespace: string, name: string): Promise<string> => kubectl(cluster, ['-n', namespace, 'logs', name]);

before(async () => {
  cluster = await startCluster({ controllers: true, restart: true });
  node = await startTestNode(cluster, 'local-1', images, ['--backoff-base-seconds', '1']);
});

after(async () => {
  await node?.stop();
  await cluster?.stop();
});

describe('the API server', () => {
  it('may die and come back without a pod noticing, and hears its end late', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('patient', { containers: [shell('echo begin; sleep 4; echo end; exit 5')] }));
    await reaches(namespace, 'patient', 'Running');
    assert.ok(cluster.signal('kube-apiserver', 'SIGKILL'));
    const pod = await reaches(namespace, 'patient', 'Failed');
    assert.deepEqual([mainOf(pod)?.state?.terminated?.exitCode, mainOf(pod)?.restartCount], [5, 0]);
    await create(cluster, namespace, podOf('next', { containers: [shell('echo works')] }));
    await reaches(namespace, 'next', 'Succeeded');
    assert.equal(await logsOf(namespace, 'next'), 'works\n');
  });
});

describe('a full disk', () => {
  it('can be produced on a claim, and spares the other pods', async () => {
    const namespace = await namespaceOn(cluster);
    const volumes = [{ name: 'runs', persistentVolumeClaim: { claimName: 'runs' } }];
    const script = 'head -c 4M /dev/zero > /runs/file';
    await create(cluster, namespace, claimOf('runs', '1Mi', { 'polar.training/size-limit-enforced': 'true' }),
      podOf('full', { volumes, containers: [shell(script, { volumeMounts: [{ name: 'runs', mountPath: '/runs' }], terminationMessagePolicy: 'FallbackToLogsOnError' })] }),
      podOf('other', { containers: [shell(script.replace('/runs', '/scratch'), { volumeMounts: [{ name: 'scratch', mountPath: '/scratch' }] })], volumes: [{ name: 'scratch', emptyDir: {} }] }));
    assert.match(mainOf(await reaches(namespace, 'full', 'Failed'))?.state?.terminated?.message ?? '', /No space left on device/);
    await reaches(namespace, 'other', 'Succeeded');
  });
});

describe('a claim of limited size', () => {
  it('is removed with its volume, and does not hold up the removal of others', async () => {
    const namespace = await namespaceOn(cluster);
    const names = ['a-limited', 'b-plain'];
    await create(cluster, namespace, claimOf('a-limited', '1Mi', { 'polar.training/size-limit-enforced': 'true' }), claimOf('b-plain'));
    const volumes = names.map((name) => ({ name, persistentVolumeClaim: { claimName: name } }));
    const volumeMounts = names.map((name) => ({ name, mountPath: `/${name}` }));
    await create(cluster, namespace, podOf('writer', { volumes, containers: [shell('echo x | tee /a-limited/file /b-plain/file', { volumeMounts })] }));
    await reaches(namespace, 'writer', 'Succeeded');
    await kubectl(cluster, ['-n', namespace, 'delete', 'pod/writer', ...names.map((name) => `pvc/${name}`)]);
    await eventually('no volume of the claims is left', async () => ((await kubectl(cluster, ['get', 'pv', '-o', 'yaml'])).includes(`namespace: ${namespace}`) ? undefined : true), 20_000);
  });
});

describe('two nodes', () => {
  it('let a gang that spans them find its members', async () => {
    const second = await startTestNode(cluster, 'local-2', images);
    try {
      const namespace = await namespaceOn(cluster);
      const member = (index: number): object => podOf(`m-${index}`, {
        nodeName: `local-${index + 1}`, hostname: `m-${index}`, subdomain: 'gang',
        containers: [shell(`until getent hosts m-${1 - index}.gang; do sleep 0.2; done; exec sleep 1000`)],
      });
      await create(cluster, namespace, member(0), member(1));
      for (const index of [0, 1]) {
        const { status } = await reaches(namespace, `m-${index}`, 'Running');
        await eventually('its name at the other', async () => ((await logsOf(namespace, `m-${1 - index}`)).startsWith(`${status?.podIP} `) ? true : undefined));
      }
    } finally {
      await second.stop();
    }
  });
});

describe('the agent', () => {
  it('leaves no process behind when it is killed, and reports the lost pod when it is back', async () => {
    const namespace = await namespaceOn(cluster);
    const mark = `lost-${namespace}`;
    const script = '(setsid sleep 1000 &) ; nohup sleep 1000 & sleep 1000';
    await create(cluster, namespace, podOf('lost', { containers: [shell(script, { env: [{ name: 'MARK', value: mark }] })] }));
    await eventually('three sleeps', async () => ((await processesWith(`MARK=${mark}`)).length >= 4 ? true : undefined));
    node.child.kill('SIGKILL');
    await eventually('no process left', async () => ((await processesWith(`MARK=${mark}`)).length === 0 ? true : undefined), 5_000);
    node = await startTestNode(cluster, 'local-1', images, ['--backoff-base-seconds', '1']);
    const pod = await reaches(namespace, 'lost', 'Failed');
    assert.equal(mainOf(pod)?.state?.terminated?.exitCode, 137);
  });

  it('stops its pods on SIGTERM and says so', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('ends', { containers: [shell('trap "exit 7" TERM; echo ready; while true; do sleep 0.1; done')] }));
    await eventually('running', async () => ((await logsOf(namespace, 'ends')).includes('ready') ? true : undefined));
    await node.stop();
    const pod = await reaches(namespace, 'ends', 'Failed');
    assert.deepEqual([mainOf(pod)?.state?.terminated?.exitCode, pod.status?.reason], [7, 'NodeShutdown']);
  });
});
