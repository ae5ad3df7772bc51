// The real Kueue manager against a test's control plane: its own certificates, webhooks and controllers, as its manifests install them.
//
// Two things differ from a cluster: webhook Services are of type ExternalName and lead to loopback, since no Service address routes
// here, and this file puts the certificates that Kueue makes for itself where a kubelet would mount them.
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments, stringify } from 'yaml';
import { applyFiles } from '../../local/src/apply.ts';
import { freePorts, isListening } from '../../local/src/controlplane/ports.ts';
import { tailOf } from '../../local/src/controlplane/start.ts';
import { SupervisedProcess } from '../../local/src/controlplane/supervised.ts';
import { moduleDirectory, moduleProgram } from '../../local/src/moduleProgram.ts';
import { clusterVariable } from '../../local/src/process.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import type { TestCluster } from '../integration/cluster.ts';
import { eventually } from '../integration/runWorld.ts';

const KUEUE = { name: 'kueue', module: 'sigs.k8s.io/kueue', version: 'v0.19.2', package: './cmd/kueue', takes: 'about three minutes once, then cached' };
const NAMESPACE = 'kueue-system';
const SERVICE = 'kueue-webhook-service';
const SECRET = 'kueue-webhook-server-cert';
const CONVERTED = ['clusterqueues', 'cohorts', 'localqueues', 'multikueueclusters', 'workloads'];
// Of the kinds Kueue knows, those that the cluster serves and that could concern a run's children.
const WEBHOOKS = /kueue-x-k8s-io|batch-v1-job|--v1-pod/;

interface Hook { readonly clientConfig: { readonly service: { readonly path?: string } } }
type Manifest = KubeObject & Readonly<Record<string, unknown>> & { readonly webhooks?: readonly Hook[]; readonly spec?: Readonly<Record<string, unknown>> };

export interface KueueOptions {
  /** Added to the manager's configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface Kueue {
  readonly logFile: string;
  stop(): Promise<void>;
}

/** Builds (once), installs and starts Kueue; resolves when its webhooks answer. Ends with this process. */
export async function startKueue(cluster: TestCluster, admin: KubeClient, options: KueueOptions = {}): Promise<Kueue> {
  const program = await moduleProgram(KUEUE);
  const dir = join(cluster.dir, 'kueue');
  const certDir = join(dir, 'certs');
  mkdirSync(certDir, { recursive: true });
  const [webhook = 0, health = 0] = await freePorts(2);
  await applyFiles(cluster.kubeconfigPath, await manifests(dir, webhook));
  const logFile = join(dir, 'kueue.log');
  const config = join(dir, 'config.yaml');
  writeFileSync(config, stringify(managerConfig({ webhook, health, certDir }, options)));
  const manager = new SupervisedProcess({
    name: 'kueue', graceMs: 2000, restart: false, onChange: () => undefined,
    command: { file: program, args: [`--config=${config}`, '--zap-log-level=2'], env: { [clusterVariable]: cluster.dir, KUBECONFIG: cluster.kubeconfigPath }, logFile },
  });
  await ready({ admin, certDir, webhook, isAlive: () => manager.state.process !== undefined, logFile });
  return { logFile, stop: () => manager.stop() };
}

function managerConfig(at: { webhook: number; health: number; certDir: string }, { config = {} }: KueueOptions): object {
  return {
    apiVersion: 'config.kueue.x-k8s.io/v1beta2', kind: 'Configuration', namespace: NAMESPACE,
    health: { healthProbeBindAddress: `127.0.0.1:${at.health}` }, metrics: { bindAddress: '0' },
    webhook: { host: '127.0.0.1', port: at.webhook, certDir: at.certDir },
    leaderElection: { leaderElect: false }, internalCertManagement: { enable: true, webhookServiceName: SERVICE, webhookSecretName: SECRET },
    clientConnection: { qps: 300, burst: 500 }, integrations: { frameworks: ['batch/job', 'pod'] },
    // Serves an aggregated API on a fixed port.
    featureGates: { VisibilityOnDemand: false },
    ...config,
  };
}

/** Writes what is to be applied and returns the files in order. */
async function manifests(dir: string, port: number): Promise<readonly string[]> {
  const components = join(await moduleDirectory(KUEUE), 'config', 'components');
  const bases = join(components, 'crd', 'bases');
  const crds = readdirSync(bases).sort().flatMap((file) => read(join(bases, file))).map((crd) => converted(crd, port));
  const hooks = read(join(components, 'webhook', 'manifests.yaml')).map((one) => ({
    ...one, metadata: { ...one.metadata, name: `kueue-${one.metadata.name}` },
    webhooks: (one.webhooks ?? []).filter((hook) => WEBHOOKS.test(hook.clientConfig.service.path ?? '')).map((hook) => ({ ...hook, clientConfig: { service: { name: SERVICE, namespace: NAMESPACE, path: hook.clientConfig.service.path, port } } })),
  }));
  const base = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } },
    { apiVersion: 'v1', kind: 'Service', metadata: { name: SERVICE, namespace: NAMESPACE }, spec: { type: 'ExternalName', externalName: 'localhost' } },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: SECRET, namespace: NAMESPACE } },
  ];
  return Object.entries({ '1-base': base, '2-crds': crds, '3-webhooks': hooks }).map(([name, objects]) => {
    const file = join(dir, `${name}.yaml`);
    writeFileSync(file, objects.map((one) => stringify(one, { aliasDuplicateObjects: false })).join('---\n'));
    return file;
  });
}

function read(file: string): Manifest[] {
  return parseAllDocuments(readFileSync(file, 'utf8')).map((one) => one.toJS() as Manifest).filter((one) => (one as unknown) !== null);
}

function converted(crd: Manifest, port: number): Manifest {
  if (!CONVERTED.some((plural) => crd.metadata.name.startsWith(`${plural}.`))) return crd;
  const clientConfig = { service: { name: SERVICE, namespace: NAMESPACE, path: '/convert', port } };
  return { ...crd, spec: { ...crd.spec, conversion: { strategy: 'Webhook', webhook: { clientConfig, conversionReviewVersions: ['v1'] } } } };
}

interface Starting { readonly admin: KubeClient; readonly certDir: string; readonly webhook: number; readonly isAlive: () => boolean; readonly logFile: string }

async function ready({ admin, certDir, webhook, isAlive, logFile }: Starting): Promise<void> {
  await eventually(async () => {
    if (!isAlive()) throw new Error(`Kueue ended:\n${tailOf(logFile, 4000)}`);
    if (!existsSync(join(certDir, 'tls.crt'))) await mount(admin, certDir);
    if (!(await isListening(webhook))) throw new Error(`Kueue's webhooks do not listen yet:\n${tailOf(logFile, 4000)}`);
  }, 120_000);
  // The first object that passes a webhook shows that its certificate has arrived in the configuration.
  const flavor = { apiVersion: 'kueue.x-k8s.io/v1beta2', kind: 'ResourceFlavor', metadata: { name: 'is-kueue-ready' } };
  await eventually(() => admin.request('POST', '/apis/kueue.x-k8s.io/v1beta2/resourceflavors', { body: flavor, query: { dryRun: 'All' } }), 60_000);
}

async function mount(admin: KubeClient, certDir: string): Promise<void> {
  const { data = {} } = await admin.request<{ data?: Record<string, string> }>('GET', `/api/v1/namespaces/${NAMESPACE}/secrets/${SECRET}`);
  if (data['tls.crt'] === undefined) throw new Error('Kueue has not made its certificates yet');
  for (const [name, value] of Object.entries(data)) writeFileSync(join(certDir, `.${name}`), Buffer.from(value, 'base64'));
  for (const name of Object.keys(data)) copyFileSync(join(certDir, `.${name}`), join(certDir, name));
}
