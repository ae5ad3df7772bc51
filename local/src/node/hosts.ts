// The text of a namespace's /etc/hosts: the cluster's DNS names, as far as a file can say them. Pure.
//
// A pod answers to its name, and with hostname and subdomain to the forms a headless Service gives it; a Service answers with
// a ready selected pod (a headless one with all of them). ClusterIPs do not route here, so a Service's port must equal its
// target port.
import type { Pod, Service } from './objects.ts';

export interface NamedPod { readonly pod: Pod; readonly ip: string; readonly ready: boolean }

const DOMAIN = 'cluster.local';

const selects = (service: Service, pod: Pod): boolean => {
  const wanted = Object.entries(service.spec?.selector ?? {});
  return wanted.length > 0 && pod.metadata.namespace === service.metadata.namespace
    && wanted.every(([key, value]) => pod.metadata.labels?.[key] === value);
};

/** The addresses `service` stands for, in name order: one for a ClusterIP, all for a headless Service. */
export const serviceAddresses = (service: Service, pods: readonly NamedPod[]): string[] => {
  const early = service.spec?.publishNotReadyAddresses === true;
  const found = pods.filter(({ pod, ready }) => (ready || early) && selects(service, pod))
    .sort((a, b) => (a.pod.metadata.name < b.pod.metadata.name ? -1 : 1)).map(({ ip }) => ip);
  return service.spec?.clusterIP === 'None' ? found : found.slice(0, 1);
};

/** `base`, `base.ns`, `base.ns.svc`, `base.ns.svc.cluster.local`; the first only inside its own namespace. */
const forms = (base: string, namespace: string, viewer: string): string[] => {
  const full = `${base}.${namespace}`;
  return [...(namespace === viewer ? [base] : []), full, `${full}.svc`, `${full}.svc.${DOMAIN}`];
};

const podNames = (pod: Pod, viewer: string): string[] => {
  const { name, namespace } = pod.metadata;
  const hostname = pod.spec.hostname ?? name;
  const own = namespace === viewer ? [...new Set([hostname, name])] : [];
  return [...own, ...(pod.spec.subdomain ? forms(`${hostname}.${pod.spec.subdomain}`, namespace, viewer) : [])];
};

/** The file's text for pods of namespace `viewer`. */
export const hostsText = (viewer: string, pods: readonly NamedPod[], services: readonly Service[]): string => {
  const lines = ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback'];
  for (const { pod, ip } of pods) {
    const names = podNames(pod, viewer);
    if (names.length > 0) lines.push(`${ip}\t${names.join(' ')}`);
  }
  for (const service of services) {
    const names = forms(service.metadata.name, service.metadata.namespace, viewer).join(' ');
    for (const ip of serviceAddresses(service, pods)) lines.push(`${ip}\t${names}`);
  }
  lines.push(`127.0.0.1\t${forms('kubernetes', 'default', viewer).join(' ')}`);
  return `${lines.join('\n')}\n`;
};
