// An existing cluster instead of the embedded one: it gets the resource definitions and nothing else.
import { join } from 'node:path';
import { applyFiles } from './apply.ts';
import { locateBinaries } from './controlplane/binaries.ts';
import { repositoryRoot } from './paths.ts';

/** Uses the cluster POLAR_CLUSTER_KUBECONFIG points at; undefined when the variable is not set. */
export const external = async (): Promise<{ kubeconfig: string; kubectl: string } | undefined> => {
  const kubeconfig = process.env['POLAR_CLUSTER_KUBECONFIG'];
  if (kubeconfig === undefined || kubeconfig === '') return undefined;
  const kubectl = (await locateBinaries(['kubectl'])).get('kubectl') ?? 'kubectl';
  await applyFiles(kubeconfig, [join(repositoryRoot, 'crds')]);
  console.error(`using the cluster of ${kubeconfig}; the resource definitions are installed, the operator is not started`);
  return { kubeconfig, kubectl };
};
