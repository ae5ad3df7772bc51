// Lays out every certificate and kubeconfig of one control plane. Leaves are signed anew at each start; authorities stay.
import { join } from 'node:path';
import type { ClusterPaths } from '../paths.ts';
import { openAuthority, openServiceAccountKey, writeKeyPair } from './certificates.ts';
import type { Authority, KeyPair, LeafRequest } from './certificates.ts';
import { writeKubeconfig } from './kubeconfig.ts';

/** First address of the service range, where in-cluster clients would expect the API server. */
const apiServiceAddress = '10.96.0.1';
export const serviceRange = '10.96.0.0/16';
/** The API server shows this name to the node agent when it asks for logs. */
export const kubeletClientName = 'kube-apiserver-kubelet-client';

export interface CertificateFiles { readonly certFile: string; readonly keyFile: string }

export interface Credentials {
  readonly server: string;
  readonly authority: Authority;
  readonly authorityFile: string;
  readonly authorityKeyFile: string;
  readonly etcdAuthorityFile: string;
  readonly etcd: CertificateFiles;
  readonly etcdClient: CertificateFiles;
  readonly apiserver: CertificateFiles;
  readonly kubeletClient: CertificateFiles;
  readonly serviceAccount: { readonly privateFile: string; readonly publicFile: string };
  readonly admin: KeyPair;
  readonly controllerManagerKubeconfig: string;
  readonly schedulerKubeconfig: string;
}

const apiserverRequest: LeafRequest = {
  commonName: 'kube-apiserver',
  dnsNames: ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'],
  ipAddresses: ['127.0.0.1', '::1', apiServiceAddress],
};

const etcdRequest: LeafRequest = { commonName: 'etcd', dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };

interface Signer {
  readonly files: (name: string, request: LeafRequest) => Promise<CertificateFiles>;
  readonly kubeconfig: (file: string, request: LeafRequest) => Promise<string>;
}

const signerFor = (pki: string, server: string, authority: Authority): Signer => ({
  files: async (name, request) => writeKeyPair(pki, name, await authority.sign(request)),
  kubeconfig: async (file, request) => {
    const credentials = await authority.sign(request);
    writeKubeconfig(file, { server, authority: authority.certificate, user: request.commonName, credentials });
    return file;
  },
});

/** Writes all credentials for an API server that will listen on `port` of 127.0.0.1. */
export const writeCredentials = async (paths: ClusterPaths, port: number): Promise<Credentials> => {
  const { pki } = paths;
  const server = `https://127.0.0.1:${port}`;
  const [authority, etcdAuthority, serviceAccount] = await Promise.all([openAuthority(pki, 'ca'), openAuthority(pki, 'etcd-ca'), openServiceAccountKey(pki)]);
  const cluster = signerFor(pki, server, authority);
  const etcd = signerFor(pki, server, etcdAuthority);
  const admin = await authority.sign({ commonName: 'polar-admin', organization: 'system:masters' });
  writeKubeconfig(paths.kubeconfig, { server, authority: authority.certificate, user: 'polar-admin', credentials: admin });
  return {
    server,
    authority,
    authorityFile: join(pki, 'ca.crt'),
    authorityKeyFile: join(pki, 'ca.key'),
    etcdAuthorityFile: join(pki, 'etcd-ca.crt'),
    etcd: await etcd.files('etcd', etcdRequest),
    etcdClient: await etcd.files('etcd-client', { commonName: 'kube-apiserver' }),
    apiserver: await cluster.files('apiserver', apiserverRequest),
    kubeletClient: await cluster.files('kubelet-client', { commonName: kubeletClientName, organization: 'system:masters' }),
    serviceAccount,
    admin,
    controllerManagerKubeconfig: await cluster.kubeconfig(join(pki, 'controller-manager.kubeconfig'), { commonName: 'system:kube-controller-manager' }),
    schedulerKubeconfig: await cluster.kubeconfig(join(pki, 'scheduler.kubeconfig'), { commonName: 'system:kube-scheduler' }),
  };
};

export interface NodeCredentials extends CertificateFiles { readonly kubeconfig: string }

/** Credentials of one node below `dir`: its kubeconfig (the Node authorizer's identity) and the certificate of its kubelet API. */
export const writeNodeCredentials = async (
  { authority, server }: Pick<Credentials, 'authority' | 'server'>,
  dir: string,
  node: { name: string; address: string },
): Promise<NodeCredentials> => {
  const identity = { commonName: `system:node:${node.name}`, organization: 'system:nodes' };
  const kubeconfig = join(dir, 'kubeconfig');
  writeKubeconfig(kubeconfig, { server, authority: authority.certificate, user: identity.commonName, credentials: await authority.sign(identity) });
  const serving = await authority.sign({ ...identity, dnsNames: [node.name, 'localhost'], ipAddresses: [node.address] });
  return { kubeconfig, ...writeKeyPair(dir, 'kubelet', serving) };
};
