// What a plan's workload does to its namespace, always directly on the API server, and the marks it passes.
import { API_VERSION, LABEL_RUN_UID, MANAGER_INGEST } from '../../operator/src/api/labels.ts';
import type { RunStatus } from '../../operator/src/api/status.ts';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { CLAIMS, isTrue } from '../../operator/src/run/objects.ts';
import type { Job, Pod } from '../../operator/src/run/objects.ts';
import type { RunKind } from '../../operator/src/run/observed.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { applyStatus, create, get, remove } from '../../operator/src/runtime/verbs.ts';
import type { Kubelet } from './kubelet.ts';
import type { Observer } from './observer.ts';

export type StoredRun = KubeObject & { readonly spec?: unknown; readonly metadata: { readonly uid: string; readonly generation?: number }; readonly status?: RunStatus };

const MERGE = 'application/merge-patch+json';

export class World {
  readonly admin: KubeClient;
  readonly observer: Observer;
  readonly namespace: string;
  readonly kubelet: Kubelet;
  /** Where trainers report; 0 when they do not. */
  readonly ingestPort: number;
  /** Puts an object into the store past the API server. */
  readonly put: (resource: Resource, object: KubeObject) => Promise<void>;
  readonly #patienceMs: number;
  /** Called at every mark of the workload; faults hang on marks. */
  onMark: (mark: string, revision?: number) => Promise<void> = () => Promise.resolve();

  constructor(parts: { admin: KubeClient; observer: Observer; namespace: string; kubelet: Kubelet; ingestPort: number; put: World['put']; patienceMs: number }) {
    this.admin = parts.admin;
    this.observer = parts.observer;
    this.namespace = parts.namespace;
    this.kubelet = parts.kubelet;
    this.ingestPort = parts.ingestPort;
    this.put = parts.put;
    this.#patienceMs = parts.patienceMs;
  }

  /** `revision` when a write made the mark, so that the mark lies directly behind it. */
  mark(name: string, revision?: number): Promise<void> {
    return this.onMark(name, revision);
  }

  async claim(name: string): Promise<void> {
    const spec = { accessModes: ['ReadWriteMany'], resources: { requests: { storage: '1Gi' } } };
    await create(this.admin, CLAIMS, { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name, namespace: this.namespace }, spec } as KubeObject);
  }

  async claims(): Promise<void> {
    await this.claim('data');
    await this.claim('runs');
  }

  pretrain(name: string, spec: object = {}): Promise<StoredRun> {
    return this.create('PolarPretrain', name, {
      model: { size: '300K' }, data: { uri: 'pvc://data/pool', maxLength: 512, maxResponseLength: 128 }, budget: { steps: 500 },
      checkpoint: { store: { pvc: 'runs' } }, workers: { replicas: 2 }, recovery: { saveTimeoutSeconds: 2 }, ...spec,
    });
  }

  finetune(name: string, pretrain: string): Promise<StoredRun> {
    return this.create('PolarFinetune', name, {
      init: { pretrainRef: { name: pretrain } }, data: { uri: 'pvc://data/preferences', maxLength: 512, maxResponseLength: 128 }, checkpoint: { store: { pvc: 'runs' } },
    });
  }

  create(kind: RunKind, name: string, spec: object): Promise<StoredRun> {
    return create(this.admin, RUN_RESOURCES[kind], { apiVersion: API_VERSION, kind, metadata: { name, namespace: this.namespace }, spec } as unknown as StoredRun);
  }

  run(name: string, kind: RunKind = 'PolarPretrain'): StoredRun | undefined {
    return this.observer.objects<StoredRun>(this.namespace, kind).find((one) => one.metadata.name === name);
  }

  /** Merge-patches the spec, as `kubectl patch` does. */
  async patch(name: string, spec: object): Promise<number> {
    const changed = await this.admin.request<KubeObject>('PATCH', pathOf(RUN_RESOURCES.PolarPretrain, { namespace: this.namespace, name }), { body: { spec }, contentType: MERGE });
    return Number(changed.metadata.resourceVersion);
  }

  /** Merge-patches any object. */
  async change(resource: Resource, name: string, body: object): Promise<void> {
    await this.admin.request('PATCH', pathOf(resource, { namespace: this.namespace, name }), { body, contentType: MERGE });
  }

  async remove(resource: Resource, name: string, how: 'Background' | 'Foreground' | 'Orphan' = 'Background'): Promise<void> {
    const found = await get(this.admin, resource, { namespace: this.namespace, name });
    if (found !== undefined) await remove(this.admin, resource, { namespace: this.namespace, name, uid: found.metadata.uid ?? '' }, how);
  }

  removeRun(name: string, how: 'Background' | 'Foreground' = 'Background'): Promise<void> {
    return this.remove(RUN_RESOURCES.PolarPretrain, name, how);
  }

  /** Writes status.checkpoints as ingest does. */
  async reportCheckpoint(name: string, step: number): Promise<void> {
    const run = this.run(name);
    const record = { step, uri: `pvc://runs/${name}/step-${step}`, manifestSha256: 'a'.repeat(64), completedTime: '2026-01-01T00:00:00Z' };
    const reported = { apiVersion: API_VERSION, kind: 'PolarPretrain', metadata: { name, namespace: this.namespace, uid: run?.metadata.uid }, status: { checkpoints: { latest: record, history: [record] } } };
    await applyStatus(this.admin, RUN_RESOURCES.PolarPretrain, reported as unknown as KubeObject, { fieldManager: MANAGER_INGEST });
  }

  jobs(): readonly Job[] {
    return this.observer.objects<Job>(this.namespace, 'Job');
  }

  pods(): readonly Pod[] {
    return this.observer.objects<Pod>(this.namespace, 'Pod').filter((pod) => pod.metadata.labels?.[LABEL_RUN_UID] !== undefined);
  }

  /** Everything made for runs. */
  children(): readonly KubeObject[] {
    return ['Job', 'Pod', 'Service', 'ConfigMap'].flatMap((kind) => this.observer.objects(this.namespace, kind)).filter((object) => object.metadata.labels?.[LABEL_RUN_UID] !== undefined);
  }

  /** Waits until a condition of the run is True. */
  untilTrue(name: string, type: string, kind: RunKind = 'PolarPretrain'): Promise<StoredRun> {
    return this.untilRun(name, `${kind} ${name} is ${type}`, (run) => isTrue(run.status?.conditions, type) !== undefined, kind);
  }

  untilRun(name: string, what: string, holds: (run: StoredRun) => boolean, kind: RunKind = 'PolarPretrain'): Promise<StoredRun> {
    return this.until(what, () => {
      const run = this.run(name, kind);
      return run !== undefined && holds(run) ? run : undefined;
    });
  }

  until<T>(what: string, look: () => T | undefined): Promise<T> {
    return this.observer.until(this.namespace, what, look, this.#patienceMs);
  }

  /** Waits until as many workers of an attempt run. */
  async untilRunning(attempt: number, workers = 2): Promise<void> {
    await this.until(`${workers} workers of attempt ${attempt} run`, () =>
      this.pods().filter((pod) => pod.metadata.labels?.['polar.training/attempt'] === String(attempt) && pod.status?.phase === 'Running').length >= workers ? true : undefined);
  }
}
