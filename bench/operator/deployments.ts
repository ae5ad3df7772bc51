// What a controller that has had years of care costs: kube-controller-manager's Deployment controller alone, processor time per API write.
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { create } from '../../operator/src/runtime/verbs.ts';
import { until } from './process.ts';
import { sumOf, writesOf } from './scrape.ts';
import { NAMESPACE } from './world.ts';
import type { World } from './world.ts';

const DEPLOYMENTS: Resource = { apiVersion: 'apps/v1', kind: 'Deployment', plural: 'deployments', namespaced: true };

export interface Cost {
  readonly cpuSeconds: number;
  readonly writes: number;
  readonly cpuSecondsPerWrite: number;
}

/** Creates Deployments without replicas and waits until their status is written. */
export const measureDeployments = async (world: World, count: number): Promise<Cost> => {
  const controllers = await world.startControllers('deployment-controller');
  const statusWrites = async (): Promise<number> => sumOf(await world.apiSamples(), 'apiserver_request_total', ({ resource, subresource }) => resource === 'deployments' && subresource === 'status');
  const [cpu, writes] = [controllers.cpuSeconds(), writesOf(await controllers.samples())];
  const before = await statusWrites();
  for (let index = 0; index < count; index++) await create(world.client, DEPLOYMENTS, deployment(`deployment-${index}`));
  await until(`${count} Deployments have a status`, async () => (await statusWrites()) - before >= count);
  const cost = { cpuSeconds: controllers.cpuSeconds() - cpu, writes: writesOf(await controllers.samples()) - writes };
  await controllers.stop();
  return { ...cost, cpuSecondsPerWrite: cost.cpuSeconds / cost.writes };
};

const deployment = (name: string): KubeObject => ({
  apiVersion: DEPLOYMENTS.apiVersion, kind: DEPLOYMENTS.kind, metadata: { name, namespace: NAMESPACE },
  spec: { replicas: 0, selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'x', image: 'x' }] } } },
} as KubeObject);
