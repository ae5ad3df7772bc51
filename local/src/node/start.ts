// Wires the agent together: clients, watches, workers, kubelet API, provisioner.
import { join } from 'node:path';
import type { Agent } from './agent.ts';
import { connectApi, isStatus } from './api.ts';
import type { Api } from './api.ts';
import { sleep } from './clock.ts';
import type { Sources } from './env.ts';
import { eventSink } from './events.ts';
import { imageMap } from './images.ts';
import { reasonOf } from './log.ts';
import type { Log } from './log.ts';
import { allocatable, keepNode } from './node.ts';
import type { ConfigMap, Pod, Secret, Service } from './objects.ts';
import { Pods } from './pods.ts';
import { runProvisioner } from './provisioner.ts';
import { Reflector } from './reflector.ts';
import { serveKubelet } from './server.ts';
import type { ServerFiles } from './server.ts';
import { mountTmpfs } from './volumes/tmpfs.ts';

export interface AgentOptions {
  readonly name: string;
  readonly kubeconfig: string;
  readonly dir: string;
  readonly images: string;
  readonly port: number;
  readonly resources: Readonly<Record<string, string>>;
  readonly tls: ServerFiles;
  readonly backOffBaseMs: number;
  readonly provisionerKubeconfig?: string;
}

export interface RunningAgent { readonly port: number; stop(graceMs: number): Promise<void> }

const HOST_IP = '127.0.0.1';
const MAX_BACKOFF_MS = 300_000;
const STATUS_WAIT_MS = 2_000;

const sourcesOf = (api: Api) => (namespace: string): Sources => {
  const read = async <T>(resource: string, name: string): Promise<T | undefined> => {
    try {
      return await api.get<T>(`/api/v1/namespaces/${namespace}/${resource}/${name}`);
    } catch (error) {
      // the node authorizer answers 403 for an object that no pod of this node refers to, which includes missing ones
      if (isStatus(error, 404)) return undefined;
      throw error;
    }
  };
  return { configMap: (name) => read<ConfigMap>('configmaps', name), secret: (name) => read<Secret>('secrets', name) };
};

const startProvisioner = async (options: AgentOptions, log: Log, signal: AbortSignal): Promise<void> => {
  if (options.provisionerKubeconfig === undefined) return;
  await runProvisioner(connectApi(options.provisionerKubeconfig), options.dir, log, signal);
};

/** Resolves once the Node is registered and the first list of pods was taken. */
export const startAgent = async (options: AgentOptions, log: Log): Promise<RunningAgent> => {
  await mountTmpfs(join(options.dir, 'roots'));
  const api = connectApi(options.kubeconfig);
  const stopped = new AbortController();
  const { signal } = stopped;
  const services = new Reflector<Service>({ api, log, path: '/api/v1/services', onChange: () => { pods.hostsChanged(); }, onGone: () => { pods.hostsChanged(); } });
  const pods = new Pods(() => [...services.items.values()]);
  const resources = allocatable(options.resources);
  const agent: Agent = {
    api, log, nodeName: options.name, dir: options.dir, hostIP: HOST_IP, allocatable: resources,
    image: imageMap(options.images),
    events: eventSink(api, options.name, log),
    sourcesOf: sourcesOf(api),
    servicesOf: (namespace) => [...services.items.values()].filter((service) => service.metadata.namespace === namespace),
    addressOf: (service) => pods.addressesOf(service)[0],
    backOff: { baseMs: options.backOffBaseMs, maxMs: MAX_BACKOFF_MS },
  };
  pods.attach(agent);
  const port = await serveKubelet(pods, options.tls, options.port);
  const bound = new Reflector<Pod>({
    api, log, path: '/api/v1/pods', fieldSelector: `spec.nodeName=${options.name}`,
    onChange: (pod) => { pods.take(pod); }, onGone: (pod) => { void pods.drop(pod); },
  });
  const node = keepNode(api, { name: options.name, address: HOST_IP, port, resources }, log, signal);
  void services.run(signal);
  await services.synced;
  void bound.run(signal);
  await bound.synced;
  pods.removeStrangers();
  void pods.watchPeers(options.dir, signal);
  startProvisioner(options, log, signal).catch((error: unknown) => { log('error', 'no provisioner', { reason: reasonOf(error) }); });
  return {
    port,
    stop: async (graceMs) => {
      await pods.close(graceMs);
      stopped.abort();
      await Promise.race([node, sleep(STATUS_WAIT_MS)]);
    },
  };
};
