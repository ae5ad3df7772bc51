// The command line of the embedded cluster.
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { down } from './down.ts';
import { external } from './external.ts';
import { clusterPaths, defaultClusterDirectory } from './paths.ts';
import { status } from './status.ts';
import { up } from './up.ts';

const help = `Usage: node local/src/cli.ts <command> [options]

A real Kubernetes control plane on this machine, with pods as host processes. It isolates nothing: for demos, tests and
laptops only.

Commands
  up           start the cluster and the operator, or find them running; print the KUBECONFIG line
  down         stop everything and remove the cluster's data (built programs stay)
  status       show what runs; exit status 1 when something does not
  kubeconfig   print the path of the administrator's kubeconfig

Options
  --nodes N               number of nodes (default 1)
  --resource NAME=COUNT   extended resource each node offers, for example nvidia.com/gpu=8; may be repeated
  --audit                 write an audit log (logs/audit.log)
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
  dir: { type: 'string', default: defaultClusterDirectory },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

const parseResource = (text: string): [string, string] => {
  const match = /^([a-z0-9.-]+\/[A-Za-z0-9._-]+)=(\d+)$/.exec(text);
  if (match === null) throw new Error(`--resource: expected NAME=COUNT such as nvidia.com/gpu=8, got "${text}"`);
  return [match[1] ?? '', match[2] ?? ''];
};

const parseNodes = (text: string): number => {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 50) throw new Error(`--nodes: expected a whole number from 1 to 50, got "${text}"`);
  return count;
};

const bringUp = async (dir: string, nodes: number, resources: Record<string, string>, audit: boolean): Promise<void> => {
  const startedMs = Date.now();
  const config = { nodes: Array.from({ length: nodes }, (_, index) => ({ name: `local-${index + 1}`, resources, provisioner: index === 0 })), audit };
  const { kubeconfig, kubectl } = await external() ?? await up(dir, config);
  console.error(`ready after ${((Date.now() - startedMs) / 1000).toFixed(1)} s. For this shell:\n`);
  console.log(`export KUBECONFIG=${kubeconfig}`);
  console.log(`export PATH=${dirname(kubectl)}:$PATH`);
};

interface Flags { readonly nodes: string; readonly resource: readonly string[]; readonly audit: boolean; readonly dir: string }

/** Each returns the exit status. */
const commands: Readonly<Record<string, (flags: Flags) => Promise<number>>> = {
  up: async ({ dir, nodes, resource, audit }) => {
    await bringUp(dir, parseNodes(nodes), Object.fromEntries(resource.map(parseResource)), audit);
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
