// From a container of the API to a command that can be started: image, environment, arguments, mounts, root.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Agent } from './agent.ts';
import type { NodeFacts } from './downward.ts';
import { containerEnv, expand, serviceEnv } from './env.ts';
import type { Image } from './images.ts';
import type { Container, Pod, VolumeMount } from './objects.ts';
import { StartError } from './sandbox.ts';
import type { Command } from './sandbox.ts';
import { buildRoot } from './skeleton.ts';
import type { Mount } from './skeleton.ts';

export interface LaunchInput {
  readonly agent: Agent;
  readonly pod: Pod;
  readonly container: Container;
  readonly facts: NodeFacts;
  /** Host path of each volume that is ready. */
  readonly volumes: ReadonlyMap<string, string>;
  /** A directory of this run of the container alone. */
  readonly directory: string;
}

/** The container's own temporary files; the host's /tmp stays visible, since images may lie below it. */
const TMP_TARGET = '/.polar-tmp';
/** Where the hosts file of the pod's namespace is bound; a directory, so that the agent can replace the file at once. */
const HOSTS_TARGET = '/.polar';
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export const hostsDirectory = (agent: Pick<Agent, 'dir'>, namespace: string): string => join(agent.dir, 'hosts', namespace);
/** The skeletons of a pod's containers: in memory, since each is hundreds of small files made while somebody waits. */
export const rootsDirectory = (agent: Pick<Agent, 'dir'>, pod: Pod): string => join(agent.dir, 'roots', pod.metadata.uid);
export const messageFile = (directory: string): string => join(directory, 'termination-log');
export const hostnameOf = (pod: Pod): string => (pod.spec.hostname ?? pod.metadata.name).slice(0, 63).replace(/[.-]+$/, '');

const nodeEnv = ({ agent, pod }: LaunchInput, image: Image): Record<string, string> => {
  const inherited = image.env['PATH'] ?? process.env['PATH'] ?? DEFAULT_PATH;
  return {
    HOME: process.env['HOME'] ?? '/',
    // the pods share the host's network; gloo would otherwise look for an interface by hostname
    GLOO_SOCKET_IFNAME: 'lo',
    TMPDIR: TMP_TARGET,
    ...image.env,
    HOSTNAME: hostnameOf(pod),
    PATH: [...image.path, inherited].join(':'),
    KUBERNETES_SERVICE_HOST: agent.api.server.hostname,
    KUBERNETES_SERVICE_PORT: agent.api.server.port,
    KUBERNETES_SERVICE_PORT_HTTPS: agent.api.server.port,
  };
};

/** The whole environment of the container. Throws Error naming the missing object or key. */
export const environment = async (input: LaunchInput, image: Image): Promise<Record<string, string>> => {
  const { agent, pod, container, facts } = input;
  const { namespace } = pod.metadata;
  const linked = pod.spec.enableServiceLinks === false ? [] : agent.servicesOf(namespace).filter((service) => service.metadata.name !== 'kubernetes');
  const services = serviceEnv(linked, agent.addressOf);
  const base = nodeEnv(input, image);
  const kubernetes = Object.fromEntries(Object.entries(base).filter(([name]) => name.startsWith('KUBERNETES_')));
  const own = await containerEnv({ pod, container, facts, sources: agent.sourcesOf(namespace), services: { ...services, ...kubernetes } });
  return { ...base, ...own };
};

const argvOf = (container: Container, image: Image, env: Readonly<Record<string, string>>): string[] => {
  const { command = [], args = [] } = container;
  const entrypoint = command.length > 0 ? command : image.entrypoint ?? [];
  const rest = args.length > 0 || command.length > 0 ? args : image.cmd ?? [];
  return [...entrypoint, ...rest].map((text) => expand(text, env));
};

const volumeMount = (mount: VolumeMount, { volumes }: LaunchInput, env: Readonly<Record<string, string>>): Mount => {
  const source = volumes.get(mount.name);
  if (source === undefined) throw new StartError(`volumeMount "${mount.name}" names no volume of this pod`);
  const subPath = mount.subPathExpr === undefined ? mount.subPath ?? '' : expand(mount.subPathExpr, env);
  const from = resolve(source, subPath);
  if (from !== source && !from.startsWith(`${source}/`)) throw new StartError(`subPath "${subPath}" of volume "${mount.name}" leaves the volume`);
  if (subPath !== '') mkdirIfMissing(from);
  return { source: from, target: resolve('/', mount.mountPath), readOnly: mount.readOnly === true };
};

const mkdirIfMissing = (path: string): void => {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    // a subPath may name a file of the volume
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
};

/** Makes the root and returns the command. Throws StartError when the container names no command or a bad mount. */
export const prepareCommand = (input: LaunchInput, image: Image, env: Readonly<Record<string, string>>): Command => {
  const { agent, pod, container, directory } = input;
  const argv = argvOf(container, image, env);
  if (argv.length === 0) throw new StartError(`no command specified: the container has none and image "${container.image ?? ''}" has no entrypoint`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(messageFile(directory), '', { mode: 0o666 });
  const tmp = join(directory, 'tmp');
  rmSync(tmp, { recursive: true, force: true });
  mkdirSync(tmp);
  const hosts = hostsDirectory(agent, pod.metadata.namespace);
  mkdirSync(hosts, { recursive: true });
  const root = join(rootsDirectory(agent, pod), container.name);
  const hostname = hostnameOf(pod);
  buildRoot(root, [
    ...(container.volumeMounts ?? []).map((mount) => volumeMount(mount, input, env)),
    { source: messageFile(directory), target: resolve('/', container.terminationMessagePath ?? '/dev/termination-log'), readOnly: false },
    { source: hosts, target: HOSTS_TARGET, readOnly: true },
    { source: tmp, target: TMP_TARGET, readOnly: false },
  ], [
    { target: '/etc/hosts', link: `${HOSTS_TARGET}/hosts` },
    { target: '/etc/hostname', text: `${hostname}\n` },
    // the init mounts terminals of the container's own
    { target: '/dev/ptmx', link: 'pts/ptmx' },
  ]);
  const workingDir = container.workingDir ?? image.workingDir ?? '/';
  return { root, hostname, workingDir, argv, env };
};
