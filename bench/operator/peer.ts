// The peer: Kubeflow Trainer with JobSet as host processes, client limits lifted, without their admission webhooks (which would
// cost them time): what those fill in is in the runtime below.
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { applyFiles } from '../../local/src/apply.ts';
import { freePorts } from '../../local/src/controlplane/ports.ts';
import { tailOf } from '../../local/src/controlplane/start.ts';
import { moduleDirectory, moduleProgram } from '../../local/src/moduleProgram.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { create } from '../../operator/src/runtime/verbs.ts';
import { startMeasured, until } from './process.ts';
import type { Measured } from './process.ts';
import { JOBSET, TRAINER } from './programs.ts';
import { parseSamples } from './scrape.ts';
import type { Samples } from './scrape.ts';
import { NAMESPACE, insecure } from './world.ts';
import type { World } from './world.ts';

export const TRAIN_JOBS: Resource = { apiVersion: 'trainer.kubeflow.org/v1alpha1', kind: 'TrainJob', plural: 'trainjobs', namespaced: true };
export const JOB_SETS: Resource = { apiVersion: 'jobset.x-k8s.io/v1alpha2', kind: 'JobSet', plural: 'jobsets', namespaced: true };
const RUNTIMES: Resource = { apiVersion: 'trainer.kubeflow.org/v1alpha1', kind: 'ClusterTrainingRuntime', plural: 'clustertrainingruntimes', namespaced: false };
const ACCOUNTS: Resource = { apiVersion: 'v1', kind: 'ServiceAccount', plural: 'serviceaccounts', namespaced: true };
const BINDINGS: Resource = { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRoleBinding', plural: 'clusterrolebindings', namespaced: false };

export interface Peer {
  readonly processes: readonly Measured[];
  /** What both processes count together. */
  readonly samples: () => Promise<Samples>;
  readonly stop: () => Promise<void>;
}

/** Installs CRDs and the runtime once per cluster. */
export const installPeer = async (world: World): Promise<void> => {
  const [jobset, trainer] = [await moduleDirectory(JOBSET), await moduleDirectory(TRAINER)];
  const crds = ['trainjobs', 'clustertrainingruntimes', 'trainingruntimes'].map((name) => join(trainer, 'manifests/base/crds', `trainer.kubeflow.org_${name}.yaml`));
  await applyFiles(world.kubeconfig, [join(jobset, 'config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml'), ...crds]);
  await create(world.client, RUNTIMES, runtime());
  await create(world.client, ACCOUNTS, { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'reader', namespace: NAMESPACE } });
  await create(world.client, BINDINGS, {
    apiVersion: BINDINGS.apiVersion, kind: BINDINGS.kind, metadata: { name: 'bench-reader' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' }, subjects: [{ kind: 'ServiceAccount', name: 'reader', namespace: NAMESPACE }],
  } as KubeObject);
};

/** Starts both controllers and waits until they are ready. */
export const startPeer = async (world: World): Promise<Peer> => {
  const [jobsetWebhook = 0, jobsetMetrics = 0, jobsetHealth = 0, trainerWebhook = 0, trainerMetrics = 0, trainerHealth = 0, trainerStatus = 0] = await freePorts(7);
  const jobset = startOne(world, 'jobset', await moduleProgram(JOBSET), {
    apiVersion: 'config.jobset.x-k8s.io/v1alpha1', kind: 'Configuration', leaderElection: { leaderElect: false }, internalCertManagement: { enable: false },
    webhook: { host: '127.0.0.1', port: jobsetWebhook }, metrics: { bindAddress: `127.0.0.1:${jobsetMetrics}` }, health: { healthProbeBindAddress: `127.0.0.1:${jobsetHealth}` }, clientConnection: { qps: 5000, burst: 10_000 },
  });
  const trainer = startOne(world, 'trainer', await moduleProgram(TRAINER), {
    apiVersion: 'config.trainer.kubeflow.org/v1alpha1', kind: 'Configuration', leaderElection: { leaderElect: false }, certManagement: { enable: false },
    webhook: { host: '127.0.0.1', port: trainerWebhook }, metrics: { bindAddress: `127.0.0.1:${trainerMetrics}`, secureServing: false }, health: { healthProbeBindAddress: `127.0.0.1:${trainerHealth}` },
    controller: { groupKindConcurrency: { 'TrainJob.trainer.kubeflow.org': 5, 'TrainingRuntime.trainer.kubeflow.org': 1, 'ClusterTrainingRuntime.trainer.kubeflow.org': 1 } },
    clientConnection: { qps: 5000, burst: 10_000 }, statusServer: { port: trainerStatus, qps: 5, burst: 10 },
  });
  const processes = [trainer, jobset];
  for (const [one, port] of [[jobset, jobsetHealth], [trainer, trainerHealth]] as const) {
    await until(`${one.name} is ready`, async () => {
      if (!one.isAlive()) throw new Error(`${one.name} ended:\n${tailOf(one.logFile)}`);
      return (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.status === 200;
    });
  }
  const token = await tokenOf(world);
  const samples = async (): Promise<Samples> => [
    ...parseSamples((await insecure(`https://127.0.0.1:${jobsetMetrics}/metrics`, token)) ?? ''),
    ...parseSamples(await (await fetch(`http://127.0.0.1:${trainerMetrics}/metrics`)).text()),
  ];
  return { processes, samples, stop: async () => void (await Promise.all(processes.map((one) => one.stop()))) };
};

const startOne = (world: World, name: string, file: string, config: object): Measured => {
  const dir = join(world.dir, name);
  const certificates = join(dir, 'k8s-webhook-server/serving-certs');
  mkdirSync(certificates, { recursive: true });
  copyFileSync(world.certificate.certFile, join(certificates, 'tls.crt'));
  copyFileSync(world.certificate.keyFile, join(certificates, 'tls.key'));
  const configFile = join(dir, 'config.yaml');
  writeFileSync(configFile, JSON.stringify(config));
  return startMeasured(name, { file, args: ['--config', configFile, '--zap-log-level=error'], env: { KUBECONFIG: world.kubeconfig, TMPDIR: dir }, logFile: world.logOf(name) });
};

const tokenOf = async (world: World): Promise<string> => {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 7200 } };
  const { status } = await world.client.request<{ status: { token: string } }>('POST', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/reader/token`, { body });
  return status.token;
};

// With what the webhook of JobSet would fill in: success and startup policy, completion mode, restart policy, network.
const runtime = (): KubeObject => ({
  apiVersion: RUNTIMES.apiVersion, kind: RUNTIMES.kind, metadata: { name: 'bench' },
  spec: {
    mlPolicy: { numNodes: 1 },
    template: { spec: {
      successPolicy: { operator: 'All' }, startupPolicy: { startupPolicyOrder: 'AnyOrder' }, network: { enableDNSHostnames: true, publishNotReadyAddresses: true },
      replicatedJobs: [{ name: 'node', template: {
        metadata: { labels: { 'trainer.kubeflow.org/trainjob-ancestor-step': 'trainer' } },
        spec: { completionMode: 'Indexed', backoffLimit: 0, template: { spec: { restartPolicy: 'Never', containers: [{ name: 'node', image: 'polar.training/trainer:dev', command: ['python', '-m', 'polar.launch'] }] } } },
      } }],
    } },
  },
} as KubeObject);

/** A job of one pod, as small as a manifest can be. */
export const peerRun = (name: string): KubeObject => ({
  apiVersion: TRAIN_JOBS.apiVersion, kind: TRAIN_JOBS.kind, metadata: { name, namespace: NAMESPACE }, spec: { runtimeRef: { name: 'bench' }, trainer: { numNodes: 1 } },
} as KubeObject);
