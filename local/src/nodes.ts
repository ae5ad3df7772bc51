// Starts the node agent of each node as a supervised process, with credentials of its own.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeNodeCredentials } from './controlplane/credentials.ts';
import { freePorts, isFree } from './controlplane/ports.ts';
import type { ControlPlane } from './controlplane/start.ts';
import { SupervisedProcess } from './controlplane/supervised.ts';
import type { ComponentState } from './controlplane/supervised.ts';
import { repositoryRoot } from './paths.ts';
import { clusterVariable } from './process.ts';
import type { NodeConfig } from './state.ts';

/** Loopback: the API server and the node agent share the machine. */
const address = '127.0.0.1';
const shutdownGraceSeconds = 10;
const graceMs = 30_000;
const program = join(repositoryRoot, 'local', 'src', 'node', 'main.ts');
const images = join(repositoryRoot, 'local', 'images.json');

/** The port of an earlier start is kept while free, so that log requests in flight over a restart find it again. */
const choosePort = async (dir: string): Promise<number> => {
  const file = join(dir, 'port');
  const kept = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
  if (kept > 0 && (await isFree(kept))) return kept;
  const [port = 0] = await freePorts(1);
  writeFileSync(file, String(port));
  return port;
};

const argumentsOf = async (plane: ControlPlane, node: NodeConfig, dir: string): Promise<string[]> => {
  const { kubeconfig, certFile, keyFile } = await writeNodeCredentials(plane.credentials, dir, { name: node.name, address });
  return [
    program, '--name', node.name, '--kubeconfig', kubeconfig, '--dir', dir, '--images', images,
    '--tls-cert', certFile, '--tls-key', keyFile, '--client-ca', plane.credentials.authorityFile,
    '--port', String(await choosePort(dir)), '--shutdown-grace-seconds', String(shutdownGraceSeconds),
    ...Object.entries(node.resources).flatMap(([name, amount]) => ['--resource', `${name}=${amount}`]),
    ...(node.provisioner ? ['--provisioner-kubeconfig', plane.paths.kubeconfig] : []),
  ];
};

/** Starts the agent of one node; `onChange` is told of its starts and deaths. */
export const startNode = async (plane: ControlPlane, node: NodeConfig, onChange: (state: ComponentState, died: boolean) => void): Promise<SupervisedProcess> => {
  const dir = join(plane.paths.nodes, node.name);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  return new SupervisedProcess({
    name: `node ${node.name}`,
    command: {
      file: process.execPath,
      args: await argumentsOf(plane, node, dir),
      env: { [clusterVariable]: plane.paths.dir },
      logFile: join(plane.paths.logs, `node-${node.name}.log`),
    },
    graceMs,
    restart: true,
    onChange,
  });
};
