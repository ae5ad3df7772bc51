// Metrics under the names controller-runtime and client-go use, so that dashboards and alerts made for them work here.
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

/** All metrics of the process. */
export const registry = new Registry();

/** Adds the process's own metrics (CPU, memory, event loop); once per process. */
export function collectProcessMetrics(): void {
  collectDefaultMetrics({ register: registry });
}

const registers = [registry];
const workSeconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60];

export const restClientRequests = new Counter({
  name: 'rest_client_requests_total',
  help: 'Requests to the API server by status code, method and host; code "<error>" when there was no answer.',
  labelNames: ['code', 'method', 'host'], registers,
});

export const restClientSeconds = new Histogram({
  name: 'rest_client_request_duration_seconds', help: 'Time from sending a request to the API server to the head of its answer.',
  labelNames: ['verb', 'host'], buckets: [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60], registers,
});

export const reconcileTotal = new Counter({
  name: 'controller_runtime_reconcile_total',
  help: 'Reconciles by controller and result (success, error, requeue, requeue_after).',
  labelNames: ['controller', 'result'], registers,
});

export const reconcileErrors = new Counter({
  name: 'controller_runtime_reconcile_errors_total', help: 'Reconciles that ended in an error.', labelNames: ['controller'], registers,
});

export const terminalReconcileErrors = new Counter({
  name: 'controller_runtime_terminal_reconcile_errors_total', help: 'Reconciles that ended in an error not worth a retry.', labelNames: ['controller'], registers,
});

export const reconcilePanics = new Counter({
  name: 'controller_runtime_reconcile_panics_total', help: 'Reconciles that threw something that is not an Error.', labelNames: ['controller'], registers,
});

export const reconcileTimeouts = new Counter({
  name: 'controller_runtime_reconcile_timeouts_total', help: 'Reconciles that took longer than two minutes; they are not cut off, since each of their requests is.', labelNames: ['controller'], registers,
});

export const reconcileSeconds = new Histogram({
  name: 'controller_runtime_reconcile_time_seconds', help: 'Length of one reconcile.', labelNames: ['controller'], buckets: workSeconds, registers,
});

export const maxConcurrentReconciles = new Gauge({
  name: 'controller_runtime_max_concurrent_reconciles', help: 'Workers of a controller.', labelNames: ['controller'], registers,
});

export const activeWorkers = new Gauge({
  name: 'controller_runtime_active_workers', help: 'Workers now busy.', labelNames: ['controller'], registers,
});

export const queueDepth = new Gauge({
  name: 'workqueue_depth', help: 'Keys waiting for a worker.', labelNames: ['name'], registers,
});

export const queueAdds = new Counter({
  name: 'workqueue_adds_total', help: 'Keys put into the queue.', labelNames: ['name'], registers,
});

export const queueRetries = new Counter({
  name: 'workqueue_retries_total', help: 'Keys put into the queue again after an error.', labelNames: ['name'], registers,
});

export const queueWaitSeconds = new Histogram({
  name: 'workqueue_queue_duration_seconds', help: 'Time a key waited for a worker.', labelNames: ['name'], buckets: workSeconds, registers,
});

export const queueWorkSeconds = new Histogram({
  name: 'workqueue_work_duration_seconds', help: 'Time a worker had a key.', labelNames: ['name'], buckets: workSeconds, registers,
});

const agesOf = new Map<string, () => readonly number[]>();

/** Tells the gauges below how to learn the ages in seconds of the keys a queue's workers now have. */
export function trackWork(name: string, ages: () => readonly number[]): void {
  agesOf.set(name, ages);
}

export const unfinishedWorkSeconds = new Gauge({
  name: 'workqueue_unfinished_work_seconds', help: 'Sum of the ages of the keys now being worked on.', labelNames: ['name'], registers,
  collect() {
    for (const [name, ages] of agesOf) this.set({ name }, ages().reduce((sum, age) => sum + age, 0));
  },
});

export const longestRunningSeconds = new Gauge({
  name: 'workqueue_longest_running_processor_seconds', help: 'Age of the key that has been worked on longest.', labelNames: ['name'], registers,
  collect() {
    for (const [name, ages] of agesOf) this.set({ name }, Math.max(0, ...ages()));
  },
});

export const leaderMaster = new Gauge({
  name: 'leader_election_master_status', help: 'Whether this replica holds the lease of that name.', labelNames: ['name'], registers,
});

export const leaderSlowpath = new Counter({
  name: 'leader_election_slowpath_total', help: 'Renewals that needed a look at the lease first, because somebody else had changed it.', labelNames: ['name'], registers,
});

export const cacheObjects = new Gauge({
  name: 'polar_cache_objects', help: 'Objects held in the cache of a resource.', labelNames: ['resource'], registers,
});

export const cacheRelists = new Counter({
  name: 'polar_cache_lists_total', help: 'Full lists of a resource, by why they were made.', labelNames: ['resource', 'why'], registers,
});
