// One real API server for all plans: etcd, kube-apiserver with an audit log, and the controllers of Jobs and of garbage. No kubelet and no scheduler: plans play them.
import { KubeConfig } from '@kubernetes/client-node';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { applyFiles } from '../../local/src/apply.ts';
import { openAuthority } from '../../local/src/controlplane/certificates.ts';
import type { KeyPair } from '../../local/src/controlplane/certificates.ts';
import { startControlPlane } from '../../local/src/controlplane/start.ts';
import type { ControlPlane } from '../../local/src/controlplane/start.ts';
import { localRoot, repositoryRoot } from '../../local/src/paths.ts';
import { identify } from '../../local/src/process.ts';
import { Account } from './account.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';

export const NODE_NAME = 'node-1';
/** Below the repository's root. */
export const MANIFEST = 'local/manifests/operator.yaml';
const HEARTBEAT_MS = 5000;

export interface FaultCluster {
  readonly dir: string;
  readonly plane: ControlPlane;
  /** Talks to the API server directly, as an administrator. */
  readonly admin: KubeClient;
  /** Certificate and key of the proxies, and who signed them. */
  readonly proxyKeys: KeyPair;
  readonly proxyAuthority: string;
  /** Bearer token of the operator's own ServiceAccount. */
  readonly token: string;
  /** Makes an empty namespace in which the operator may also keep its own objects. */
  readonly namespace: () => Promise<string>;
  /** Makes an account for the operator of one namespace. */
  readonly account: (namespace: string) => Promise<Account>;
  /** Lines of the audit log so far. */
  readonly audit: () => string;
  readonly stop: () => Promise<void>;
}

function adminConfig(kubeconfig: string): KubeConfig {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  return config;
}

/** Starts it in about ten seconds (the programs are built at the first use) with definitions, permissions and one node. */
export async function startFaultCluster(root = repositoryRoot): Promise<FaultCluster> {
  mkdirSync(join(localRoot, 'test'), { recursive: true });
  const dir = mkdtempSync(join(localRoot, 'test', 'faults-'));
  writeFileSync(join(dir, 'owner.json'), JSON.stringify(identify(process.pid)));
  const plane = await startControlPlane({ dir, components: ['kube-controller-manager'], durable: false, restart: true, audit: true });
  await applyFiles(plane.paths.kubeconfig, [join(root, 'crds'), join(root, MANIFEST)]);
  // Its garbage collector learns of new kinds every half minute only; a fresh one knows them.
  plane.signal('kube-controller-manager', 'SIGKILL');
  const admin = await clientFor(adminConfig(plane.paths.kubeconfig));
  const stopNode = await keepNodeReady(admin);
  const authority = await openAuthority(join(dir, 'proxy'), 'proxy');
  const proxyKeys = await authority.sign({ commonName: 'proxy', dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] });
  return {
    dir, plane, admin, proxyKeys, proxyAuthority: authority.certificate, token: await operatorToken(admin),
    namespace: () => makeNamespace(admin, ownRoles(join(root, MANIFEST))),
    account: (namespace) => Account.make(admin, namespace, { manifest: join(root, MANIFEST), statusFor: (bearer) => statusFor(plane, bearer) }),
    audit: () => readdirSync(plane.paths.logs).filter((file) => file.startsWith('audit')).map((file) => readFileSync(join(plane.paths.logs, file), 'utf8')).join('\n'),
    stop: async () => {
      stopNode();
      await admin.close();
      await plane.stop();
      rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** What the API server answers to somebody with that token. */
function statusFor({ server, credentials }: ControlPlane, bearer: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = request(`${server}/api`, { ca: credentials.authority.certificate, headers: { authorization: `Bearer ${bearer}` } }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode ?? 0));
    });
    sent.on('error', reject);
    sent.end();
  });
}

async function operatorToken(admin: KubeClient): Promise<string> {
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 86_400 } };
  const answer = await admin.request<{ status: { token: string } }>('POST', '/api/v1/namespaces/polar-system/serviceaccounts/polar-operator/token', { body });
  return answer.status.token;
}

/** Without a heartbeat the node controller calls the node lost after forty seconds, and its pods not ready. */
async function keepNodeReady(admin: KubeClient): Promise<() => void> {
  await admin.request('POST', '/api/v1/nodes', { body: { apiVersion: 'v1', kind: 'Node', metadata: { name: NODE_NAME } } });
  const beat = async (): Promise<void> => {
    const now = new Date().toISOString();
    const conditions = [{ type: 'Ready', status: 'True', reason: 'Played', lastHeartbeatTime: now, lastTransitionTime: now }];
    await admin.request('PATCH', `/api/v1/nodes/${NODE_NAME}/status`, { body: { status: { conditions } }, contentType: 'application/merge-patch+json' });
  };
  await beat();
  const timer = setInterval(() => void beat().catch(() => undefined), HEARTBEAT_MS);
  return () => clearInterval(timer);
}

async function makeNamespace(admin: KubeClient, roles: readonly KubeObject[]): Promise<string> {
  const body = { apiVersion: 'v1', kind: 'Namespace', metadata: { generateName: 'plan-' } };
  const { metadata: { name } } = await admin.request<KubeObject>('POST', '/api/v1/namespaces', { body });
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${name}`;
  for (const role of roles) await admin.request('POST', `${rbac}/${role.kind === 'Role' ? 'roles' : 'rolebindings'}`, { body: { ...role, metadata: { ...role.metadata, namespace: name } } });
  return name;
}

/** What the manifest grants in the operator's own namespace; each plan gives its operator an own namespace of its own. */
function ownRoles(manifest: string): readonly KubeObject[] {
  const documents = parseAllDocuments(readFileSync(manifest, 'utf8')).map((one) => one.toJS() as KubeObject);
  return documents.filter(({ kind }) => kind === 'Role' || kind === 'RoleBinding');
}
