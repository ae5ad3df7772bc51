// The command line of each control plane component, tuned for one machine. Pure: paths and ports in, arguments out.
import { join } from 'node:path';
import type { ClusterPaths } from '../paths.ts';
import { serviceRange } from './credentials.ts';
import type { Credentials } from './credentials.ts';

export const componentNames = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const;
export type ComponentName = (typeof componentNames)[number];

export interface Ports { readonly apiserver: number; readonly etcdClient: number; readonly etcdPeer: number }

export interface Layout {
  readonly paths: ClusterPaths;
  readonly ports: Ports;
  readonly credentials: Credentials;
  /** False skips fsync in etcd: faster, and lost on power failure. */
  readonly durable: boolean;
  readonly audit: boolean;
}

const flags = (values: Readonly<Record<string, string | number | boolean>>): string[] =>
  Object.entries(values).map(([name, value]) => `--${name}=${value}`);

const etcdArguments = ({ paths, ports, credentials, durable }: Layout): string[] => {
  const client = `https://127.0.0.1:${ports.etcdClient}`;
  const peer = `https://127.0.0.1:${ports.etcdPeer}`;
  return flags({
    name: 'default',
    'data-dir': paths.etcd,
    'listen-client-urls': client,
    'advertise-client-urls': client,
    'listen-peer-urls': peer,
    'initial-advertise-peer-urls': peer,
    'initial-cluster': `default=${peer}`,
    'cert-file': credentials.etcd.certFile,
    'key-file': credentials.etcd.keyFile,
    'trusted-ca-file': credentials.etcdAuthorityFile,
    'client-cert-auth': true,
    'peer-cert-file': credentials.etcd.certFile,
    'peer-key-file': credentials.etcd.keyFile,
    'peer-trusted-ca-file': credentials.etcdAuthorityFile,
    'peer-client-cert-auth': true,
    'unsafe-no-fsync': !durable,
    'log-level': 'warn',
    'snapshot-count': 10_000,
  });
};

const auditFlags = ({ paths }: Layout): string[] => flags({
  'audit-policy-file': join(paths.pki, 'audit-policy.yaml'),
  'audit-log-path': join(paths.logs, 'audit.log'),
  'audit-log-maxsize': 100,
  'audit-log-maxbackup': 2,
});

// Endpoints may not hold a loopback address, so the server must not try to publish itself in any.
const apiserverArguments = (layout: Layout): string[] => {
  const { ports, credentials } = layout;
  const own = flags({
    'bind-address': '127.0.0.1',
    'secure-port': ports.apiserver,
    'advertise-address': '127.0.0.1',
    'endpoint-reconciler-type': 'none',
    'etcd-servers': `https://127.0.0.1:${ports.etcdClient}`,
    'etcd-cafile': credentials.etcdAuthorityFile,
    'etcd-certfile': credentials.etcdClient.certFile,
    'etcd-keyfile': credentials.etcdClient.keyFile,
    'tls-cert-file': credentials.apiserver.certFile,
    'tls-private-key-file': credentials.apiserver.keyFile,
    'client-ca-file': credentials.authorityFile,
    'kubelet-client-certificate': credentials.kubeletClient.certFile,
    'kubelet-client-key': credentials.kubeletClient.keyFile,
    'kubelet-certificate-authority': credentials.authorityFile,
    'kubelet-preferred-address-types': 'InternalIP',
    'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
    'service-account-key-file': credentials.serviceAccount.publicFile,
    'service-account-signing-key-file': credentials.serviceAccount.privateFile,
    'service-cluster-ip-range': serviceRange,
    'authorization-mode': 'Node,RBAC',
    'enable-admission-plugins': 'NodeRestriction',
    'allow-privileged': true,
    profiling: false,
  });
  return layout.audit ? [...own, ...auditFlags(layout)] : own;
};

const controllerManagerArguments = ({ credentials }: Layout): string[] => flags({
  kubeconfig: credentials.controllerManagerKubeconfig,
  'root-ca-file': credentials.authorityFile,
  'service-account-private-key-file': credentials.serviceAccount.privateFile,
  'cluster-signing-cert-file': credentials.authorityFile,
  'cluster-signing-key-file': credentials.authorityKeyFile,
  'use-service-account-credentials': true,
  // Pods have loopback addresses, which the API refuses in endpoints; the node agent resolves Service names itself.
  controllers: '*,-endpoints-controller,-endpointslice-controller,-endpointslice-mirroring-controller',
  'leader-elect': false,
  'secure-port': 0,
  'node-monitor-period': '2s',
  'node-monitor-grace-period': '40s',
  'kube-api-qps': 200,
  'kube-api-burst': 400,
  'min-resync-period': '10m',
  profiling: false,
});

const schedulerArguments = ({ credentials }: Layout): string[] => flags({
  kubeconfig: credentials.schedulerKubeconfig,
  'leader-elect': false,
  'secure-port': 0,
  'kube-api-qps': 200,
  'kube-api-burst': 400,
  profiling: false,
});

const builders: Readonly<Record<ComponentName, (layout: Layout) => string[]>> = {
  etcd: etcdArguments,
  'kube-apiserver': apiserverArguments,
  'kube-controller-manager': controllerManagerArguments,
  'kube-scheduler': schedulerArguments,
};

/** The arguments to start component `name` with. */
export const componentArguments = (name: ComponentName, layout: Layout): string[] => builders[name](layout);

/** Records who did what to which object, without bodies. */
export const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    nonResourceURLs: ["/healthz*", "/readyz*", "/livez*", "/openapi*", "/version"]
  - level: Metadata
`;
