// The cluster every contender meets: etcd and the API server, and on request the controller manager, the scheduler and kwok's nodes.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node/dist/config.js';
import { applyFiles } from '../../local/src/apply.ts';
import { componentArguments } from '../../local/src/controlplane/components.ts';
import { locateBinaries } from '../../local/src/controlplane/binaries.ts';
import { freePorts } from '../../local/src/controlplane/ports.ts';
import { startControlPlane } from '../../local/src/controlplane/start.ts';
import type { ControlPlane } from '../../local/src/controlplane/start.ts';
import { moduleProgram } from '../../local/src/moduleProgram.ts';
import { localRoot, repositoryRoot } from '../../local/src/paths.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { create } from '../../operator/src/runtime/verbs.ts';
import { measuredPid, startMeasured, until } from './process.ts';
import type { Measured } from './process.ts';
import { KWOK } from './programs.ts';
import { parseSamples } from './scrape.ts';
import type { Samples } from './scrape.ts';

export interface World {
  readonly dir: string;
  readonly kubeconfig: string;
  readonly client: KubeClient;
  /** The API server and etcd. */
  readonly servers: readonly Measured[];
  readonly logOf: (name: string) => string;
  /** A serving certificate for 127.0.0.1. */
  readonly certificate: { readonly certFile: string; readonly keyFile: string };
  readonly apiSamples: () => Promise<Samples>;
  /** Starts the controller manager with client limits lifted; all controllers but those of endpoints unless told. */
  readonly startControllers: (which?: string) => Promise<Measured & { readonly samples: () => Promise<Samples> }>;
  readonly startScheduler: () => Promise<Measured>;
  readonly startKwok: () => Promise<Measured>;
  readonly stop: () => Promise<void>;
}

export const NAMESPACE = 'bench';
const NODES = 10;
const LIFTED = ['--kube-api-qps=5000', '--kube-api-burst=10000'];

const resource = (apiVersion: string, kind: string, plural: string, namespaced = true): Resource => ({ apiVersion, kind, plural, namespaced });
const NODE = resource('v1', 'Node', 'nodes', false);
const VOLUME = resource('v1', 'PersistentVolume', 'persistentvolumes', false);
const CLAIM = resource('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims');
const SPACE = resource('v1', 'Namespace', 'namespaces', false);

/** Starts a cluster in a folder of its own; it ends with `stop` or with this process. */
export const startWorld = async (): Promise<World> => {
  const root = join(localRoot, 'bench');
  mkdirSync(root, { recursive: true });
  const dir = mkdtempSync(join(root, 'world-'));
  process.once('exit', () => rmSync(dir, { recursive: true, force: true, maxRetries: 3 }));
  const plane = await startControlPlane({ dir, components: [], durable: false });
  await applyFiles(plane.paths.kubeconfig, [join(repositoryRoot, 'crds')]);
  const config = new KubeConfig();
  config.loadFromFile(plane.paths.kubeconfig);
  const client = await clientFor(config);
  const logOf = (name: string): string => join(plane.paths.logs, `${name}.log`);
  await furnish(client);
  const samplesAt = async (path: string): Promise<Samples> => parseSamples(await textOf(plane, path));
  return {
    dir, client, logOf, kubeconfig: plane.paths.kubeconfig, certificate: plane.credentials.apiserver,
    servers: plane.states().map(({ name, process: id }) => measuredPid(name, id?.pid ?? 0)),
    apiSamples: () => samplesAt('/metrics'),
    startControllers: (which) => startControllers(plane, logOf, which),
    startScheduler: () => startScheduler(plane, logOf),
    startKwok: () => startKwok(plane, logOf),
    stop: async () => {
      await client.close();
      await plane.stop();
      rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
};

const furnish = async (client: KubeClient): Promise<void> => {
  const make = (of: Resource, name: string, rest: object, namespace?: string): Promise<KubeObject> =>
    create(client, of, { apiVersion: of.apiVersion, kind: of.kind, metadata: { name, namespace }, ...rest } as KubeObject);
  for (const name of [NAMESPACE, 'polar-system']) await make(SPACE, name, {});
  for (let index = 0; index < NODES; index++) await create(client, NODE, nodeOf(`kwok-${index}`));
  for (const name of ['data', 'runs']) {
    const size = { storage: '1Ti' };
    await make(VOLUME, name, { spec: { capacity: size, accessModes: ['ReadWriteMany'], hostPath: { path: `/${name}` }, storageClassName: '', claimRef: { namespace: NAMESPACE, name } } });
    await make(CLAIM, name, { spec: { accessModes: ['ReadWriteMany'], resources: { requests: size }, storageClassName: '', volumeName: name } }, NAMESPACE);
  }
};

const nodeOf = (name: string): KubeObject => ({
  apiVersion: 'v1', kind: 'Node',
  metadata: { name, annotations: { 'kwok.x-k8s.io/node': 'fake' }, labels: { 'kubernetes.io/hostname': name, type: 'kwok' } },
});

const textOf = async (plane: ControlPlane, path: string): Promise<string> => {
  const { get } = await import('../../local/src/controlplane/apirequest.ts');
  const { status, body } = await get(plane.client, path);
  if (status !== 200) throw new Error(`GET ${path}: expected status 200, got ${status}`);
  return body;
};

const layoutOf = ({ paths, credentials }: ControlPlane): Parameters<typeof componentArguments>[1] =>
  ({ paths, credentials, ports: { apiserver: 0, etcdClient: 0, etcdPeer: 0 }, durable: false, audit: false });

const startControllers = async (plane: ControlPlane, logOf: (name: string) => string, which: string | undefined): ReturnType<World['startControllers']> => {
  const name = 'kube-controller-manager';
  const [port = 0] = await freePorts(1);
  const file = (await locateBinaries([name])).get(name) ?? name;
  const own = [...LIFTED, '--concurrent-job-syncs=20', '--bind-address=127.0.0.1', `--secure-port=${port}`, '--authorization-always-allow-paths=/healthz,/metrics', ...(which === undefined ? [] : [`--controllers=${which}`])];
  const measured = startMeasured(name, { file, args: [...componentArguments(name, layoutOf(plane)), ...own], logFile: logOf(name) });
  const url = `https://127.0.0.1:${port}`;
  await until(`${name} (${logOf(name)})`, async () => (await insecure(`${url}/healthz`)) !== undefined);
  return { ...measured, samples: async () => parseSamples((await insecure(`${url}/metrics`)) ?? '') };
};

/** The text at a loopback URL whose certificate was made up by its server; undefined without an answer 200. */
export const insecure = async (url: string, token?: string): Promise<string | undefined> => {
  const { Agent, request } = await import('undici');
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  try {
    const response = await request(url, { dispatcher, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
    const text = await response.body.text();
    return response.statusCode === 200 ? text : undefined;
  } catch {
    return undefined;
  } finally {
    await dispatcher.close();
  }
};

const startScheduler = async (plane: ControlPlane, logOf: (name: string) => string): Promise<Measured> => {
  const name = 'kube-scheduler';
  const file = (await locateBinaries([name])).get(name) ?? name;
  return startMeasured(name, { file, args: [...componentArguments(name, layoutOf(plane)), ...LIFTED], logFile: logOf(name) });
};

const startKwok = async (plane: ControlPlane, logOf: (name: string) => string): Promise<Measured> => {
  const file = await moduleProgram(KWOK);
  const stages = join(import.meta.dirname, 'stages.yaml');
  const args = ['--kubeconfig', plane.paths.kubeconfig, '--manage-all-nodes', '--cidr', '10.64.0.1/12', '--config', stages];
  return startMeasured('kwok', { file, args, env: { HOME: plane.paths.dir }, logFile: logOf('kwok') });
};

/** True once kwok has made all nodes ready. */
export const nodesAreReady = async ({ client }: World): Promise<boolean> => {
  interface Node { readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] } }
  const { items } = await client.request<{ items: readonly Node[] }>('GET', pathOf(NODE));
  return items.every(({ status }) => status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True'));
};
