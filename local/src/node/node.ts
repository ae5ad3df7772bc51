// The Node object: registered, refreshed every five seconds with its Lease, and told Ready until the agent stops.
import { arch, cpus, hostname, platform, release, totalmem } from 'node:os';
import { readFileSync } from 'node:fs';
import { isStatus } from './api.ts';
import type { Api } from './api.ts';
import { rfc3339, rfc3339Micro, sleep } from './clock.ts';
import { reasonOf } from './log.ts';
import type { Log } from './log.ts';

export interface NodeOptions {
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly resources: Readonly<Record<string, string>>;
}

const LEASE_SECONDS = 40;
const HEARTBEAT_MS = 5_000;
const ARCHITECTURE: Readonly<Record<string, string>> = { x64: 'amd64' };

/** What the node offers: the machine's CPUs and memory, many pods, and `extra` (which may replace any of them). */
export const allocatable = (extra: Readonly<Record<string, string>>): Record<string, string> => ({
  cpu: String(cpus().length),
  memory: `${Math.floor(totalmem() / 1024)}Ki`,
  pods: '250',
  'ephemeral-storage': '100Gi',
  ...extra,
});

const readText = (file: string): string => {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return '';
  }
};

const nodeInfo = (): Record<string, string> => ({
  machineID: readText('/etc/machine-id'), systemUUID: '', bootID: readText('/proc/sys/kernel/random/boot_id'),
  kernelVersion: release(), osImage: 'host processes (isolates nothing)', containerRuntimeVersion: 'host://1.0', kubeletVersion: 'v1.36.3',
  kubeProxyVersion: '', operatingSystem: platform(), architecture: ARCHITECTURE[arch()] ?? arch(),
});

const absent = (type: string, reason: string): object => ({ type, status: 'False', reason, message: 'not measured' });

const nodeStatus = (options: NodeOptions, ready: boolean, since: string): object => ({
  capacity: options.resources,
  allocatable: options.resources,
  addresses: [{ type: 'InternalIP', address: options.address }],
  daemonEndpoints: { kubeletEndpoint: { Port: options.port } },
  nodeInfo: nodeInfo(),
  conditions: [
    absent('MemoryPressure', 'KubeletHasSufficientMemory'),
    absent('DiskPressure', 'KubeletHasNoDiskPressure'),
    absent('PIDPressure', 'KubeletHasSufficientPID'),
    ready ? { type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'the node agent runs pods' }
      : { type: 'Ready', status: 'False', reason: 'KubeletNotReady', message: 'the node agent was stopped' },
  ].map((condition) => ({ ...condition, lastHeartbeatTime: rfc3339(new Date()), lastTransitionTime: since })),
});

const register = async (api: Api, options: NodeOptions, since: string): Promise<void> => {
  const { name } = options;
  const labels = {
    'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', 'kubernetes.io/arch': ARCHITECTURE[arch()] ?? arch(),
    'beta.kubernetes.io/os': 'linux', 'beta.kubernetes.io/arch': ARCHITECTURE[arch()] ?? arch(),
  };
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name, labels, annotations: { 'polar.training/host': hostname() } }, status: nodeStatus(options, true, since) };
  await api.post('/api/v1/nodes', node).catch((error: unknown) => {
    if (!isStatus(error, 409)) throw error;
  });
};

const renewLease = async (api: Api, name: string): Promise<void> => {
  const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
  const spec = { holderIdentity: name, leaseDurationSeconds: LEASE_SECONDS, renewTime: rfc3339Micro(new Date()) };
  try {
    await api.patch(`${leases}/${name}`, { spec });
  } catch (error) {
    if (!isStatus(error, 404)) throw error;
    await api.post(leases, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name, namespace: 'kube-node-lease' }, spec });
  }
};

const patchStatus = async (api: Api, options: NodeOptions, ready: boolean, since: string): Promise<void> => {
  await api.patch(`/api/v1/nodes/${options.name}/status`, { status: nodeStatus(options, ready, since) }, 'strategic');
};

/** Registers the node and keeps it alive until `signal` aborts, then says NotReady once. Registers again when somebody deletes it. */
export const keepNode = async (api: Api, options: NodeOptions, log: Log, signal: AbortSignal): Promise<void> => {
  const since = rfc3339(new Date());
  while (!signal.aborted) {
    try {
      await patchStatus(api, options, true, since).catch(async (error: unknown) => {
        if (!isStatus(error, 404)) throw error;
        await register(api, options, since);
        await patchStatus(api, options, true, since);
      });
      await renewLease(api, options.name);
      await sleep(HEARTBEAT_MS, signal);
    } catch (error) {
      log('warn', 'heartbeat failed', { reason: reasonOf(error) });
      await sleep(1_000, signal);
    }
  }
  await patchStatus(api, options, false, rfc3339(new Date())).catch(() => undefined);
};
