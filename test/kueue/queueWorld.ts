// A namespace with queues of the real Kueue, an operator that trainers could report to, and workers that do what a test says.
import { setTimeout as sleep } from 'node:timers/promises';
import { LABEL_ATTEMPT, LABEL_RUN } from '../../operator/src/api/labels.ts';
import { allCaches, runCaches } from '../../operator/src/run/caches.ts';
import { runControllers } from '../../operator/src/run/controllers.ts';
import { FLAVORS, WORKLOADS, WORKLOAD_PRIORITIES, holdsTrue, statusOfWorkload } from '../../operator/src/run/kueue.ts';
import type { Workload } from '../../operator/src/run/kueue.ts';
import { JOBS } from '../../operator/src/run/objects.ts';
import type { Job, Pod } from '../../operator/src/run/objects.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { eventRecorder } from '../../operator/src/runtime/events.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { create, get, list } from '../../operator/src/runtime/verbs.ts';
import { RunWorld, eventually, silent } from '../integration/runWorld.ts';
import type { Operator, StoredRun } from '../integration/runWorld.ts';

const kueue = (kind: string, plural: string, namespaced = false): Resource => ({ apiVersion: 'kueue.x-k8s.io/v1beta2', kind, plural, namespaced });
const CLUSTER_QUEUES = kueue('ClusterQueue', 'clusterqueues');
const LOCAL_QUEUES = kueue('LocalQueue', 'localqueues', true);
const TOPOLOGIES = kueue('Topology', 'topologies');
const NODES: Resource = { apiVersion: 'v1', kind: 'Node', plural: 'nodes', namespaced: false };
const MERGE = { contentType: 'application/merge-patch+json' };

/** An operator as main.ts wires it; trainers have an address to report to, so stopping saves first. */
export function startQueueOperator(client: KubeClient): Operator {
  const stop = new AbortController();
  const caches = runCaches({ client, log: silent, timing: { minBackoffMs: 20, maxBackoffMs: 200 }, lookMs: 500 });
  const watching = allCaches(caches).map((cache) => cache.run(stop.signal));
  const settings = { trainerImage: 'trainer:test', telemetry: { address: '127.0.0.1:9', ca: 'CA', intervalSeconds: 2 } };
  const controllers = runControllers({ client, caches, log: silent, workers: 2, now: Date.now, settings: () => settings, events: eventRecorder(client, 'polar-operator', silent) }, stop.signal);
  return {
    stop: async () => {
      stop.abort();
      await Promise.all([controllers, ...watching]);
    },
  };
}

export interface FlavorOf { readonly cpu: number; readonly labels?: Readonly<Record<string, string>>; readonly tolerations?: readonly object[]; readonly topologyName?: string }

/** One namespace with its own ClusterQueue; names of cluster-wide objects begin with the namespace. */
export class QueueWorld extends RunWorld {
  /** Exit code with which all workers of an attempt ("run/1") end, once they run. */
  readonly exits = new Map<string, number>();
  /** Workers that are asked to save and stop do so. */
  obedient = true;
  /** Workers of these runs never start. */
  readonly stuck = new Set<string>();
  readonly #end = new AbortController();
  readonly #acting: Promise<void>;

  constructor(admin: KubeClient, namespace: string) {
    super(admin, namespace);
    this.script = () => 'pending';
    this.#acting = this.#actAll();
  }

  override async stop(): Promise<void> {
    this.#end.abort();
    await this.#acting;
    await super.stop();
  }

  /** A run of two workers with one CPU each. */
  queued(name: string, spec: { readonly queue?: object; readonly workers?: object } & Readonly<Record<string, unknown>> = {}): Promise<StoredRun> {
    const { queue, workers, ...rest } = spec;
    return this.pretrain(name, { queue: { name: 'gpus', ...queue }, workers: { replicas: 2, resources: { requests: { cpu: '1' } }, ...workers }, ...rest });
  }

  /** A ClusterQueue with these flavors, in which the more important preempt the less, and the LocalQueue "gpus". */
  async queue(flavors: Readonly<Record<string, FlavorOf>>): Promise<void> {
    for (const [name, { labels = {}, tolerations = [], topologyName }] of Object.entries(flavors)) {
      const spec = { nodeLabels: labels, tolerations, ...(topologyName === undefined ? {} : { topologyName }) };
      await create(this.admin, FLAVORS, this.#object(FLAVORS, this.name(name), { spec }));
    }
    const quotas = Object.entries(flavors).map(([name, { cpu }]) => ({ name: this.name(name), resources: [{ name: 'cpu', nominalQuota: cpu }] }));
    const spec = { namespaceSelector: {}, resourceGroups: [{ coveredResources: ['cpu'], flavors: quotas }], preemption: { withinClusterQueue: 'LowerPriority' } };
    await create(this.admin, CLUSTER_QUEUES, this.#object(CLUSTER_QUEUES, this.namespace, { spec }));
    await this.localQueue('gpus');
    await this.claims();
  }

  /** Kueue puts every Job of a namespace that names no queue into the one called "default". */
  async localQueue(name: string): Promise<void> {
    await create(this.admin, LOCAL_QUEUES, { ...this.#object(LOCAL_QUEUES, name, { spec: { clusterQueue: this.namespace } }), metadata: { name, namespace: this.namespace } });
  }

  async priority(name: string, value: number): Promise<string> {
    await create(this.admin, WORKLOAD_PRIORITIES, this.#object(WORKLOAD_PRIORITIES, this.name(name), { value }));
    return this.name(name);
  }

  /** Racks of nodes with two CPUs each, and the Topology that names them. */
  async racks(names: readonly string[]): Promise<string> {
    const level = 'example.com/rack';
    await create(this.admin, TOPOLOGIES, this.#object(TOPOLOGIES, this.name('racks'), { spec: { levels: [{ nodeLabel: level }, { nodeLabel: 'kubernetes.io/hostname' }] } }));
    for (const rack of names) {
      const name = this.name(rack);
      const node = { ...this.#object(NODES, name, {}), metadata: { name, labels: { [level]: rack, 'kubernetes.io/hostname': name, 'example.com/pool': this.namespace } } };
      await create(this.admin, NODES, node);
      const status = { capacity: { cpu: '2', pods: '10' }, allocatable: { cpu: '2', pods: '10' }, conditions: [{ type: 'Ready', status: 'True' }] };
      await this.admin.request('PATCH', pathOf(NODES, { name, subresource: 'status' }), { body: { status }, ...MERGE });
      await this.admin.request('PATCH', pathOf(NODES, { name }), { body: { spec: { taints: null } }, ...MERGE });
    }
    return this.name('racks');
  }

  name(suffix: string): string {
    return `${this.namespace}-${suffix}`;
  }

  patchFlavor(name: string, spec: object): Promise<unknown> {
    return this.admin.request('PATCH', pathOf(FLAVORS, { name: this.name(name) }), { body: { spec }, ...MERGE });
  }

  patchClusterQueue(spec: object): Promise<unknown> {
    return this.admin.request('PATCH', pathOf(CLUSTER_QUEUES, { name: this.namespace }), { body: { spec }, ...MERGE });
  }

  patchWorkload(run: string, spec: object): Promise<unknown> {
    return this.admin.request('PATCH', pathOf(WORKLOADS, { namespace: this.namespace, name: `${run}-pretrain` }), { body: { spec }, ...MERGE });
  }

  /** CPUs that Kueue counts as reserved. */
  async reserved(): Promise<number> {
    const queue = await get<KubeObject & { status?: { flavorsReservation?: { resources: { total: string }[] }[] } }>(this.admin, CLUSTER_QUEUES, { name: this.namespace });
    const totals = (queue?.status?.flavorsReservation ?? []).flatMap(({ resources }) => resources.map(({ total }) => Number(total)));
    return totals.reduce((sum, one) => sum + one, 0);
  }

  workload(run: string): Promise<Workload | undefined> {
    return get<Workload>(this.admin, WORKLOADS, { namespace: this.namespace, name: `${run}-pretrain` });
  }

  async workloads(): Promise<readonly string[]> {
    const { items } = await list<Workload>(this.admin, WORKLOADS, { namespace: this.namespace });
    return items.map(({ metadata }) => metadata.name);
  }

  /** When the condition of the run's Workload last became true; undefined when it is not. */
  async since(run: string, condition: string): Promise<string | undefined> {
    const workload = await this.workload(run);
    return workload === undefined ? undefined : holdsTrue(statusOfWorkload(workload), condition)?.lastTransitionTime;
  }

  job(run: string, attempt: number): Promise<Job | undefined> {
    return get<Job>(this.admin, JOBS, { namespace: this.namespace, name: `${run}-pretrain-${attempt}` });
  }

  /** Pod spec of an attempt's Job, once it exists. */
  podSpec(run: string, attempt: number): Promise<Readonly<Record<string, unknown>>> {
    return eventually(async () => {
      const job = await this.job(run, attempt);
      if (job === undefined) throw new Error(`no Job of attempt ${attempt} of ${run}: ${JSON.stringify((await this.run(run)).status, null, 1)}`);
      return (job.spec as unknown as { template: { spec: Readonly<Record<string, unknown>> } }).template.spec;
    });
  }

  #object(resource: Resource, name: string, fields: object): KubeObject {
    return { apiVersion: resource.apiVersion, kind: resource.kind, metadata: { name }, ...fields };
  }

  async #actAll(): Promise<void> {
    while (!this.#end.signal.aborted) {
      for (const pod of await this.pods().catch(() => [])) await this.#worker(pod).catch(() => undefined);
      await sleep(50);
    }
  }

  async #worker({ metadata: { name, labels }, spec, status }: Pod): Promise<void> {
    const { [LABEL_RUN]: run = '', [LABEL_ATTEMPT]: attempt = '' } = labels ?? {};
    if (status?.phase === 'Running') await this.#finish(name, run, attempt);
    const mayStart = status?.phase === 'Pending' && !this.stuck.has(run) && !isGated(spec);
    if (mayStart) await this.setPod(name, { running: { startedAt: new Date().toISOString() } });
  }

  async #finish(pod: string, run: string, attempt: string): Promise<void> {
    const exitCode = this.exits.get(`${run}/${attempt}`) ?? (await this.#asked(run, Number(attempt)));
    if (exitCode !== undefined) await this.setPod(pod, { terminated: { exitCode, reason: `ended with ${exitCode}`, message: '' } });
  }

  async #asked(run: string, attempt: number): Promise<number | undefined> {
    const { status } = await this.run(run).catch(() => ({ status: undefined }));
    return this.obedient && status?.stopRequest?.attempt === attempt ? 20 : undefined;
  }
}

function isGated(spec: unknown): boolean {
  return ((spec as { schedulingGates?: readonly unknown[] } | undefined)?.schedulingGates ?? []).length > 0;
}
