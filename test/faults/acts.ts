// Deeds of people and of other programs, put into a plan by name.
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { CONFIG_MAPS, JOBS, PODS, SERVICES } from '../../operator/src/run/objects.ts';
import type { Session } from './session.ts';

type Act = (session: Session) => Promise<void>;

const child = (attempt = 1): string => `demo-pretrain-${attempt}`;
const quiet = (): undefined => undefined;

const deletes = (resource: typeof JOBS, how: 'Background' | 'Foreground' | 'Orphan' = 'Background'): Act => ({ world }) => world.remove(resource, child(), how);
const changes = (resource: typeof JOBS, body: object): Act => ({ world }) => world.change(resource, child(), body);

const LABELS_GONE = { metadata: { labels: { 'polar.training/run-uid': null, 'polar.training/attempt': null } } };
const OWNERS_GONE = { metadata: { ownerReferences: null } };

export const ACTS: Readonly<Record<string, Act>> = {
  'delete-job': deletes(JOBS),
  'delete-job-foreground': deletes(JOBS, 'Foreground'),
  'delete-job-orphan': deletes(JOBS, 'Orphan'),
  'delete-service': deletes(SERVICES),
  'delete-configmap': deletes(CONFIG_MAPS),
  'delete-pod': async ({ world }) => {
    const pod = world.pods()[0];
    if (pod !== undefined) await world.remove(PODS, pod.metadata.name);
  },
  'edit-service': changes(SERVICES, { spec: { selector: { 'polar.training/attempt': '9' } } }),
  'edit-configmap': changes(CONFIG_MAPS, { data: { 'run.json': '{}' } }),
  'edit-job': changes(JOBS, { metadata: { annotations: { 'polar.training/generation': '99' } } }),
  'strip-job-labels': changes(JOBS, LABELS_GONE),
  'strip-service-labels': changes(SERVICES, LABELS_GONE),
  'strip-job-owners': changes(JOBS, OWNERS_GONE),
  'strip-service-owners': changes(SERVICES, OWNERS_GONE),
  'strip-configmap-owners': changes(CONFIG_MAPS, OWNERS_GONE),
  'wipe-status': async ({ world }) => {
    await world.admin.request('PATCH', `/apis/polar.training/v1alpha1/namespaces/${world.namespace}/polarpretrains/demo/status`, { body: { status: null }, contentType: 'application/merge-patch+json' });
  },
  'touch-run': ({ world }) => world.change(RUN_RESOURCES.PolarPretrain, 'demo', { metadata: { annotations: { touched: String(Date.now()) } } }),
  /** A fighting writer: changes the run beside the operator, again and again. */
  'fight': async ({ world }) => {
    for (let times = 0; times < 40; times++) {
      await world.change(RUN_RESOURCES.PolarPretrain, 'demo', { metadata: { annotations: { fight: String(times) } } }).catch(quiet);
    }
  },
  'delete-run': ({ world }) => world.removeRun('demo'),
  'delete-namespace': async ({ world, namespace }) => {
    await world.admin.request('DELETE', `/api/v1/namespaces/${namespace}`);
  },
};
