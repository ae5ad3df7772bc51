// The command line of the embedded cluster.
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { locateBinaries } from './controlplane/binaries.ts';
import { componentNames } from './controlplane/components.ts';
import { down } from './down.ts';
import { external } from './external.ts';
import { clusterPaths, defaultClusterDirectory } from './paths.ts';
import { identify } from './process.ts';
import type { ProcessId } from './process.ts';
import type { ClusterConfig } from './state.ts';
import { status } from './status.ts';
import { makeExampleData, up } from './up.ts';

const help = `Usage: node local/src/cli.ts <command> [options]

A real Kubernetes control plane on this machine, with pods as host processes. It isolates nothing: for demos, tests and
laptops only.

Commands
  up           start the cluster and the operator, or find them running; print the KUBECONFIG line
  down         stop everything and remove the cluster's data (built programs stay)
  status       show what runs; exit status 1 when something does not
  kubeconfig   print the path of the administrator's kubeconfig
  build        only build the control plane's programs into .local/bin ("up" does it when needed)

Options
  --nodes N               number of nodes (default 1)
  --resource NAME=AMOUNT  what each node offers, for example nvidia.com/gpu=8 or cpu=16; may be repeated. It is only
                          accounted for: pods take what the machine has
  --audit                 write an audit log (logs/audit.log)
  --example-data          also make the volumes and the toy data of examples/00-data.yaml
  --owner PID             end the cluster when this process ends
  --dir DIR               folder of the cluster (default .local/cluster)
  --help                  this text

Environment
  KUBEBUILDER_ASSETS         folder with kube-apiserver, etcd and kubectl, used instead of building them
  POLAR_CLUSTER_KUBECONFIG   an existing cluster: "up" only installs the resource definitions there
`;

const options = {
  nodes: { type: 'string', default: '1' },
  resource: { type: 'string', multiple: true, default: [] as string[] },
  audit: { type: 'boolean', default: false },
  'example-data': { type: 'boolean', default: false },
  owner: { type: 'string' },
  dir: { type: 'string', default: defaultClusterDirectory },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

interface Flags {
  readonly nodes: string;
  readonly resource: readonly string[];
  readonly audit: boolean;
  readonly 'example-data': boolean;
  readonly owner?: string | undefined;
  readonly dir: string;
}

const parseResource = (text: string): [string, string] => {
  const match = /^([a-z0-9.-]+\/[A-Za-z0-9._-]+|cpu|memory)=(\d+[A-Za-z]*)$/.exec(text);
  if (match === null) throw new Error(`--resource: expected NAME=AMOUNT such as nvidia.com/gpu=8 or memory=64Gi, got "${text}"`);
  return [match[1] ?? '', match[2] ?? ''];
};

const parseNodes = (text: string): number => {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 50) throw new Error(`--nodes: expected a whole number from 1 to 50, got "${text}"`);
  return count;
};

const parseOwner = (text: string | undefined): ProcessId | undefined => {
  if (text === undefined) return undefined;
  const owner = identify(Number(text));
  if (owner === undefined) throw new Error(`--owner: expected the id of a running process, got "${text}"`);
  return owner;
};

const configOf = ({ nodes, resource, audit, owner }: Flags): ClusterConfig => {
  const resources = Object.fromEntries(resource.map(parseResource));
  const names = Array.from({ length: parseNodes(nodes) }, (_, index) => `local-${index + 1}`);
  return { nodes: names.map((name, index) => ({ name, resources, provisioner: index === 0 })), audit, owner: parseOwner(owner) };
};

const bringUp = async (flags: Flags): Promise<void> => {
  const startedMs = Date.now();
  const { kubeconfig, kubectl } = await external() ?? await up(flags.dir, configOf(flags));
  if (flags['example-data']) await makeExampleData(kubeconfig);
  console.error(`ready after ${((Date.now() - startedMs) / 1000).toFixed(1)} s. For this shell:\n`);
  console.log(`export KUBECONFIG=${kubeconfig}`);
  console.log(`export PATH=${dirname(kubectl)}:$PATH`);
};

/** Each returns the exit status. */
const commands: Readonly<Record<string, (flags: Flags) => Promise<number>>> = {
  up: async (flags) => {
    await bringUp(flags);
    return 0;
  },
  down: async ({ dir }) => {
    console.log((await down(dir)) ? 'the cluster is down and its data removed' : 'there is no cluster');
    return 0;
  },
  status: async ({ dir }) => {
    const report = await status(dir);
    console.log(report.text);
    return report.up ? 0 : 1;
  },
  build: async () => {
    const binaries = await locateBinaries([...componentNames, 'kubectl']);
    console.log([...binaries.values()].join('\n'));
    return 0;
  },
  kubeconfig: ({ dir }) => {
    console.log(clusterPaths(dir).kubeconfig);
    return Promise.resolve(0);
  },
};

const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [name, ...rest] = positionals;
  if (values.help || name === undefined || rest.length > 0) {
    process.stdout.write(help);
    return values.help ? 0 : 2;
  }
  const command = commands[name];
  if (command === undefined) throw new Error(`unknown command "${name}": expected ${Object.keys(commands).join(', ')}`);
  return command(values);
};

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`error: ${(error as Error).message}`);
  process.exitCode = 1;
}
