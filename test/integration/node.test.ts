// The node agent on a real control plane: what a user of kubectl sees of pods that are host processes.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
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

const logsOf = (namespace: string, name: string, ...flags: string[]): Promise<string> => kubectl(cluster, ['-n', namespace, 'logs', name, ...flags]);

before(async () => {
  cluster = await startCluster({ controllers: true });
  node = await startTestNode(cluster, 'local-1', images, ['--resource', 'nvidia.com/gpu=8', '--backoff-base-seconds', '1']);
});

after(async () => {
  await node?.stop();
  await cluster?.stop();
});

describe('a pod on the node', () => {
  it('completes a Job and shows its log, exit code and termination message', async () => {
    const namespace = await namespaceOn(cluster);
    const template = { spec: { restartPolicy: 'Never', containers: [shell('echo out; echo err >&2; printf good > /dev/termination-log')] } };
    await create(cluster, namespace, { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'one' }, spec: { backoffLimit: 0, template } });
    await kubectl(cluster, ['-n', namespace, 'wait', '--for=condition=complete', 'job/one', '--timeout=90s']);
    const log = await logsOf(namespace, 'job/one');
    assert.deepEqual(log.trim().split('\n').sort(), ['err', 'out']);
    const pods = JSON.parse(await kubectl(cluster, ['-n', namespace, 'get', 'pods', '-o', 'json'])) as { items: V1Pod[] };
    const state = pods.items[0] && mainOf(pods.items[0])?.state?.terminated;
    assert.deepEqual([state?.exitCode, state?.reason, state?.message], [0, 'Completed', 'good']);
  });

  it('reports the exit code of a failing command and the end of its log as the message', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('fails', { containers: [shell('echo why it failed; exit 42', { terminationMessagePolicy: 'FallbackToLogsOnError' })] }));
    const state = mainOf(await reaches(namespace, 'fails', 'Failed'))?.state?.terminated;
    assert.deepEqual([state?.exitCode, state?.reason, state?.message], [42, 'Error', 'why it failed\n']);
  });

  it('fails a Job at once by the exit code its pod failure policy names', async () => {
    const namespace = await namespaceOn(cluster);
    const rule = { action: 'FailJob', onExitCodes: { containerName: 'main', operator: 'In', values: [64] } };
    const template = { spec: { restartPolicy: 'Never', containers: [shell('exit 64')] } };
    await create(cluster, namespace, { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'bad' }, spec: { backoffLimit: 5, podFailurePolicy: { rules: [rule] }, template } });
    await kubectl(cluster, ['-n', namespace, 'wait', '--for=condition=failed', 'job/bad', '--timeout=90s']);
    const reason = await kubectl(cluster, ['-n', namespace, 'get', 'job', 'bad', '-o', 'jsonpath={.status.conditions[?(@.type=="Failed")].reason}']);
    assert.equal(reason, 'PodFailurePolicy');
  });

  it('names a command that does not exist, with exit code 128', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('nocmd', { containers: [shell('', { command: ['no-such-command'] })] }));
    const state = mainOf(await reaches(namespace, 'nocmd', 'Failed'))?.state?.terminated;
    assert.deepEqual([state?.exitCode, state?.reason], [128, 'StartError']);
    assert.match(state?.message ?? '', /exec: "no-such-command": executable file not found in \$PATH/);
  });

  it('reports a killed process as 137 although its children live on', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('killed', { containers: [shell('sleep 1000 & kill -9 $BASHPID')] }));
    assert.equal(mainOf(await reaches(namespace, 'killed', 'Failed'))?.state?.terminated?.exitCode, 137);
  });
});

describe('environment and volumes', () => {
  it('gives a pod its environment by the rules of Kubernetes', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { COLOUR: 'blue' } },
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'key' }, stringData: { word: 'open' } },
      podOf('env', { containers: [shell('echo $A; echo $B; echo $P_COLOUR; echo $WORD; echo $NAME; echo $IP; echo $FROM_IMAGE; echo "$1"', {
        args: ['arg0', '$(A)-$(NOPE)-$$(A)'],
        env: [
          { name: 'A', value: 'one' }, { name: 'B', value: '$(A)/two' },
          { name: 'WORD', valueFrom: { secretKeyRef: { name: 'key', key: 'word' } } },
          { name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
          { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        ],
        envFrom: [{ prefix: 'P_', configMapRef: { name: 'settings' } }],
      })] }));
    const pod = await reaches(namespace, 'env', 'Succeeded');
    assert.deepEqual((await logsOf(namespace, 'env')).trim().split('\n'),
      ['one', 'one/two', 'blue', 'open', 'env', pod.status?.podIP, 'yes', 'one-$(NOPE)-$(A)']);
  });

  it('mounts config map and projected token where the host has no such folder, and leaves the host without it', async () => {
    const namespace = await namespaceOn(cluster);
    const script = 'cat /etc/polar-test/run.json; cut -d. -f2 /var/run/secrets/polar/token | tr _- /+ | base64 -d 2>/dev/null; echo; touch /etc/polar-test/x 2>&1; touch /polar-test-data/y && ls /polar-test-data';
    await create(cluster, namespace,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'run' }, data: { 'run.json': '{"seed": 1}\n' } },
      podOf('mounts', {
        containers: [shell(script, { volumeMounts: [
          { name: 'config', mountPath: '/etc/polar-test', readOnly: true }, { name: 'token', mountPath: '/var/run/secrets/polar' }, { name: 'scratch', mountPath: '/polar-test-data' },
        ] })],
        volumes: [
          { name: 'config', configMap: { name: 'run' } }, { name: 'scratch', emptyDir: {} },
          { name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token', audience: 'polar-ingest', expirationSeconds: 600 } }] } },
        ],
      }));
    const pod = await reaches(namespace, 'mounts', 'Succeeded');
    const [config, claims = '', refused, listed] = (await logsOf(namespace, 'mounts')).trim().split('\n');
    assert.equal(config, '{"seed": 1}');
    assert.ok(claims.includes('"aud":["polar-ingest"]') && claims.includes(pod.metadata?.uid ?? 'no uid'), claims);
    assert.match(refused ?? '', /Read-only file system/);
    assert.equal(listed, 'y');
    assert.deepEqual(['/etc/polar-test', '/polar-test-data', '/var/run/secrets/polar', '/dev/termination-log'].filter((path) => existsSync(path)), []);
  });

  it('shows an edited config map to a running pod within seconds', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace,
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'live' }, data: { word: 'before' } },
      podOf('watcher', {
        containers: [shell('until grep -q after /config/word; do sleep 0.2; done; ls /config', { volumeMounts: [{ name: 'config', mountPath: '/config' }] })],
        volumes: [{ name: 'config', configMap: { name: 'live' } }],
      }));
    await reaches(namespace, 'watcher', 'Running');
    await kubectl(cluster, ['-n', namespace, 'patch', 'configmap', 'live', '-p', '{"data":{"word":"after","more":"x"}}']);
    await reaches(namespace, 'watcher', 'Succeeded');
    assert.equal(await logsOf(namespace, 'watcher'), 'more\nword\n');
  });

  it('shares one claim between two pods and removes its folder with it', async () => {
    const namespace = await namespaceOn(cluster);
    const volumes = [{ name: 'runs', persistentVolumeClaim: { claimName: 'runs' } }];
    const volumeMounts = [{ name: 'runs', mountPath: '/runs', subPath: 'inner' }];
    await create(cluster, namespace,
      claimOf('runs'),
      podOf('writer', { volumes, containers: [shell('echo shared > /runs/file', { volumeMounts })] }));
    await reaches(namespace, 'writer', 'Succeeded');
    await create(cluster, namespace, podOf('reader', { volumes, containers: [shell('cat /runs/file', { volumeMounts })] }));
    await reaches(namespace, 'reader', 'Succeeded');
    assert.equal(await logsOf(namespace, 'reader'), 'shared\n');
    await kubectl(cluster, ['-n', namespace, 'delete', 'pod', '--all']);
    await kubectl(cluster, ['-n', namespace, 'delete', 'pvc', 'runs']);
    const folder = `${node.dir}/volumes`;
    await eventually('folder removed', () => Promise.resolve(readdirSync(folder).some((name) => name.startsWith(namespace)) ? undefined : true));
  });

  it('lets a sized emptyDir run full without touching the host disk', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('full', {
      containers: [shell('head -c 4M /dev/zero > /small/file', { volumeMounts: [{ name: 'small', mountPath: '/small' }] })],
      volumes: [{ name: 'small', emptyDir: { sizeLimit: '1Mi' } }],
    }));
    await reaches(namespace, 'full', 'Failed');
    assert.match(await logsOf(namespace, 'full'), /No space left on device/);
  });
});

describe('a gang', () => {
  it('finds its members by hostname and subdomain of a headless Service', async () => {
    const namespace = await namespaceOn(cluster);
    const member = `
      me=$(getent hosts "$HOSTNAME" | cut -d' ' -f1)
      if [ "$JOB_COMPLETION_INDEX" = 0 ]; then exec python3 -c "
import socket, os
server = socket.create_server((socket.gethostbyname(os.environ['HOSTNAME']), 29511))
peer, address = server.accept(); print(peer.recv(99).decode())"; fi
      for i in $(seq 100); do python3 -c "
import socket
socket.create_connection(('gang-0.gang', 29511)).sendall(b'hello from gang-1')" 2>/dev/null && exit 0; sleep 0.1; done; cat /etc/hosts; exit 1`;
    await create(cluster, namespace,
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'gang' }, spec: { clusterIP: 'None', selector: { 'job-name': 'gang' } } },
      { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'gang' }, spec: {
        completionMode: 'Indexed', completions: 2, parallelism: 2, backoffLimit: 0,
        template: { spec: { subdomain: 'gang', restartPolicy: 'Never', containers: [shell(member, { resources: { limits: { 'nvidia.com/gpu': '4' } } })] } },
      } });
    await kubectl(cluster, ['-n', namespace, 'wait', '--for=condition=complete', 'job/gang', '--timeout=90s']);
    const log = await kubectl(cluster, ['-n', namespace, 'logs', '-l', 'batch.kubernetes.io/job-completion-index=0']);
    assert.equal(log, 'hello from gang-1\n');
  });

  it('reaches a ready pod by the name of its Service', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace,
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' }, spec: { selector: { app: 'web' }, ports: [{ port: 8377 }] } },
      podOf('server', {
        containers: [shell('exec python3 -m http.server 8377 --bind $(getent hosts $HOSTNAME | cut -d" " -f1)', { readinessProbe: { httpGet: { port: 8377, path: '/' }, periodSeconds: 1 } })],
      }, { labels: { app: 'web' } }),
      podOf('client', { restartPolicy: 'OnFailure', containers: [shell(`for i in $(seq 100); do curl -sf http://web.${namespace}.svc.cluster.local:8377/ >/dev/null && echo reached && exit 0; sleep 0.2; done; exit 1`)] }));
    await reaches(namespace, 'client', 'Succeeded');
    await kubectl(cluster, ['-n', namespace, 'wait', '--for=condition=ready', 'pod/server', '--timeout=90s']);
    assert.equal(await logsOf(namespace, 'client'), 'reached\n');
  });
});

describe('lifecycle', () => {
  it('lets a deleted pod act on SIGTERM, then removes it', async () => {
    const namespace = await namespaceOn(cluster);
    const claim = claimOf('kept');
    const script = 'trap "sleep 1; echo saved > /kept/state; exit 0" TERM; echo ready; while true; do sleep 0.1; done';
    const mounts = { volumeMounts: [{ name: 'kept', mountPath: '/kept' }] };
    const volumes = [{ name: 'kept', persistentVolumeClaim: { claimName: 'kept' } }];
    await create(cluster, namespace, claim, podOf('saver', { terminationGracePeriodSeconds: 20, volumes, containers: [shell(script, mounts)] }));
    await eventually('pod ready to trap', async () => ((await logsOf(namespace, 'saver')).includes('ready') ? true : undefined));
    await kubectl(cluster, ['-n', namespace, 'delete', 'pod', 'saver', '--timeout=90s']);
    await create(cluster, namespace, podOf('reader', { volumes, containers: [shell('cat /kept/state', mounts)] }));
    await reaches(namespace, 'reader', 'Succeeded');
    assert.equal(await logsOf(namespace, 'reader'), 'saved\n');
  });

  it('kills a pod that ignores SIGTERM when its grace is over', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('stubborn', { containers: [shell('trap "" TERM; echo ready; while true; do sleep 0.1; done', { env: [{ name: 'MARK', value: `stubborn-${namespace}` }] })] }));
    await eventually('running', async () => ((await logsOf(namespace, 'stubborn')).includes('ready') ? true : undefined));
    await kubectl(cluster, ['-n', namespace, 'delete', 'pod', 'stubborn', '--grace-period=1', '--timeout=90s']);
    assert.deepEqual(await processesWith(`MARK=stubborn-${namespace}`), []);
  });

  it('restarts by the policy with back-off, and shows the log of the run before', async () => {
    const namespace = await namespaceOn(cluster);
    const script = 'n=$(cat /state/n 2>/dev/null || echo 0); echo run $n; echo $((n+1)) > /state/n; [ $n -ge 2 ]';
    await create(cluster, namespace, podOf('again', {
      restartPolicy: 'OnFailure', volumes: [{ name: 'state', emptyDir: {} }],
      initContainers: [{ name: 'first', image: 'polar.test/shell', command: ['bash', '-c', 'echo 0 > /state/n'], volumeMounts: [{ name: 'state', mountPath: '/state' }] }],
      containers: [shell(script, { volumeMounts: [{ name: 'state', mountPath: '/state' }] })],
    }));
    const pod = await reaches(namespace, 'again', 'Succeeded');
    assert.equal(mainOf(pod)?.restartCount, 2);
    assert.equal(mainOf(pod)?.lastState?.terminated?.exitCode, 1);
    assert.equal(await logsOf(namespace, 'again', '-c', 'main', '--previous'), 'run 1\n');
    assert.equal(await logsOf(namespace, 'again', '-c', 'main'), 'run 2\n');
  });

  it('follows a log to its end', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('talker', { containers: [shell('for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done')] }));
    await reaches(namespace, 'talker', 'Running');
    assert.equal(await logsOf(namespace, 'talker', '-f'), 'line 1\nline 2\nline 3\nline 4\nline 5\n');
    assert.equal(await logsOf(namespace, 'talker', '--tail=1'), 'line 5\n');
  });

  it('names an unknown image and the known ones, and recovers when the map is mended', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('wrong', { containers: [shell('echo fine', { image: 'polar.test/other:2' })] }));
    const waiting = await eventually('back-off', async () => {
      const state = mainOf(await readPod(cluster, namespace, 'wrong'))?.state?.waiting;
      return state?.reason === 'ImagePullBackOff' ? state : undefined;
    });
    assert.match(waiting.message ?? '', /polar\.test\/other:2.*known images: polar\.test\/shell/);
    writeFileSync(node.imagesFile, JSON.stringify({ ...images, 'polar.test/other': {} }));
    await reaches(namespace, 'wrong', 'Succeeded');
  });

  it('ends a pod that runs past its deadline', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('late', { activeDeadlineSeconds: 3, containers: [shell('exec sleep 100')] }));
    const pod = await reaches(namespace, 'late', 'Failed');
    assert.equal(pod.status?.reason, 'DeadlineExceeded');
    assert.equal(mainOf(pod)?.state?.terminated?.exitCode, 143);
  });

  it('restarts a container whose liveness probe fails', async () => {
    const namespace = await namespaceOn(cluster);
    await create(cluster, namespace, podOf('sick', {
      restartPolicy: 'Always', terminationGracePeriodSeconds: 1,
      containers: [shell('while true; do sleep 0.1; done', { livenessProbe: { exec: { command: ['test', '-e', '/no-such-file'] }, periodSeconds: 1, failureThreshold: 1 } })],
    }));
    await eventually('restarted', async () => (((mainOf(await readPod(cluster, namespace, 'sick'))?.restartCount ?? 0) > 0) ? true : undefined));
    await kubectl(cluster, ['-n', namespace, 'delete', 'pod', 'sick', '--timeout=90s']);
  });
});
