// The headless Service of an attempt: it gives every worker a host name before any of them is ready.
import { RENDEZVOUS_PORT } from '../api/labels.ts';
import type { Attempt } from './desired.ts';
import { childLabels, childMeta } from './naming.ts';
import type { Service } from './objects.ts';

export function desiredService(of: Attempt): Service {
  return {
    apiVersion: 'v1', kind: 'Service', metadata: childMeta(of.run, of.attempt),
    spec: {
      clusterIP: 'None', publishNotReadyAddresses: true, selector: childLabels(of.run, of.attempt),
      ports: [{ name: 'rendezvous', protocol: 'TCP', port: RENDEZVOUS_PORT, targetPort: RENDEZVOUS_PORT }],
    },
  };
}
