// What run tests share: an operator in this process with the permissions of its manifest, and a player of the kubelet.
import { KubeConfig } from '@kubernetes/client-node';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyFiles } from '../../local/src/apply.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { API_VERSION, LABEL_ATTEMPT, LABEL_COMPLETION_INDEX, LABEL_RUN_UID, MANAGER_INGEST, TRAINER_CONTAINER } from '../../operator/src/api/labels.ts';
import type { RunStatus } from '../../operator/src/api/status.ts';
import { RUN_RESOURCES, allCaches, runCaches } from '../../operator/src/run/caches.ts';
import { runControllers } from '../../operator/src/run/controllers.ts';
import { CLAIMS, CONFIG_MAPS, JOBS, PODS, SERVICES, isTrue } from '../../operator/src/run/objects.ts';
import type { Job, Pod } from '../../operator/src/run/objects.ts';
import type { RunKind, Settings } from '../../operator/src/run/observed.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { eventRecorder } from '../../operator/src/runtime/events.ts';
import type { Log } from '../../operator/src/runtime/log.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import { applyStatus, create, get, list } from '../../operator/src/runtime/verbs.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';

export { CLAIMS, CONFIG_MAPS, JOBS, PODS, SERVICES };

const quiet = (): undefined => undefined;
export const silent: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet, child: () => silent };

/** A client that may do what the operator's manifest allows, and no more. */
export async function operatorClient(cluster: TestCluster, admin: KubeClient): Promise<KubeClient> {
  const path = '/api/v1/namespaces/polar-system/serviceaccounts/polar-operator/token';
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } };
  const { status: { token } } = await admin.request<{ status: { token: string } }>('POST', path, { body });
  const server = cluster.adminConfig.getCurrentCluster();
  if (server === null) throw new Error('the test cluster has no address');
  const config = new KubeConfig();
  config.loadFromClusterAndUser(server, { name: 'polar-operator', token });
  return clientFor(config);
}

export interface Operator {
  stop(): Promise<void>;
}

export interface OperatorOptions {
  readonly settings?: Settings;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** An operator as main.ts wires it, without trainer reports unless settings say otherwise. */
export function startOperator(client: KubeClient, { settings = { trainerImage: 'trainer:test' }, now = Date.now }: OperatorOptions = {}): Operator {
  const stop = new AbortController();
  const caches = runCaches({ client, log: silent, timing: { minBackoffMs: 20, maxBackoffMs: 200 } });
  const watching = allCaches(caches).map((cache) => cache.run(stop.signal));
  const controllers = runControllers({
    client, caches, log: silent, workers: 2, now, settings: () => settings, events: eventRecorder(client, 'polar-operator', silent),
  }, stop.signal);
  return {
    stop: async () => {
      stop.abort();
      await Promise.all([controllers, ...watching]);
    },
  };
}

/** A client that dies with its n-th write: the write is done, but nobody hears of it, and nothing goes out afterwards. */
export function mortal(client: KubeClient, writes: number, die: () => void): KubeClient {
  let left = writes;
  const dead = new Error('killed');
  return {
    request: async (method, path, options) => {
      if (left <= 0) throw dead;
      if (method === 'GET') return client.request(method, path, options);
      left -= 1;
      const isLast = left === 0;
      if (!isLast) return client.request(method, path, options);
      await client.request(method, path, options).catch(() => undefined);
      die();
      throw dead;
    },
    watch: (path, query, signal) => client.watch(path, query, signal),
    close: () => Promise.resolve(),
  };
}

export type StoredRun = KubeObject & { readonly metadata: { readonly uid: string }; readonly status?: RunStatus };

/** What a pod does: the exit code of a worker of an attempt with a message, or undefined to keep it running. */
export type Script = (attempt: number, index: number) => { readonly code: number; readonly message?: string; readonly said?: object } | 'pending' | undefined;

/** One namespace with volumes, and a kubelet that follows a script. */
export class RunWorld {
  readonly admin: KubeClient;
  readonly namespace: string;
  readonly jobUids = new Set<string>();
  mostLiveAttempts = 0;
  script: Script = () => undefined;
  readonly #stop = new AbortController();
  readonly #playing: Promise<void>;

  constructor(admin: KubeClient, namespace: string) {
    this.admin = admin;
    this.namespace = namespace;
    this.#playing = this.#play();
  }

  async claim(name: string): Promise<void> {
    const spec = { accessModes: ['ReadWriteMany'], resources: { requests: { storage: '1Gi' } } };
    await create(this.admin, CLAIMS, { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name, namespace: this.namespace }, spec } as KubeObject);
  }

  /** Without the protection that keeps a claim while pods that have ended still name it. */
  async removeClaim(name: string): Promise<void> {
    const path = pathOf(CLAIMS, { namespace: this.namespace, name });
    await this.admin.request('DELETE', path);
    await this.admin.request('PATCH', path, { body: { metadata: { finalizers: null } }, contentType: 'application/merge-patch+json' }).catch(() => undefined);
    await eventually(async () => {
      if (await get(this.admin, CLAIMS, { namespace: this.namespace, name }) !== undefined) throw new Error(`claim ${name} is still there`);
    });
  }

  async claims(): Promise<void> {
    await this.claim('data');
    await this.claim('runs');
  }

  pretrain(name: string, spec: object = {}): Promise<StoredRun> {
    return this.#create('PolarPretrain', name, {
      model: { size: '300K' }, data: { uri: 'pvc://data/pool', maxLength: 512, maxResponseLength: 128 }, budget: { steps: 500 },
      checkpoint: { store: { pvc: 'runs' } }, workers: { replicas: 2 }, ...spec,
    });
  }

  finetune(name: string, pretrain: string): Promise<StoredRun> {
    return this.#create('PolarFinetune', name, {
      init: { pretrainRef: { name: pretrain } }, data: { uri: 'pvc://data/preferences', maxLength: 512, maxResponseLength: 128 }, checkpoint: { store: { pvc: 'runs' } },
    });
  }

  async #create(kind: RunKind, name: string, spec: object): Promise<StoredRun> {
    return create(this.admin, RUN_RESOURCES[kind], { apiVersion: API_VERSION, kind, metadata: { name, namespace: this.namespace }, spec } as unknown as StoredRun);
  }

  async run(name: string, kind: RunKind = 'PolarPretrain'): Promise<StoredRun> {
    const run = await get<StoredRun>(this.admin, RUN_RESOURCES[kind], { namespace: this.namespace, name });
    if (run === undefined) throw new Error(`no ${kind} ${name}`);
    return run;
  }

  /** Merge-patches the spec, as `kubectl patch` does. */
  async patch(name: string, spec: object): Promise<void> {
    await this.admin.request('PATCH', pathOf(RUN_RESOURCES.PolarPretrain, { namespace: this.namespace, name }), { body: { spec }, contentType: 'application/merge-patch+json' });
  }

  /** Writes status.checkpoints as ingest does. */
  reportCheckpoints(name: string, checkpoints: object): Promise<void> {
    return this.report(name, { checkpoints });
  }

  /** Writes what ingest owns of a status, all of it. */
  async report(name: string, status: object): Promise<void> {
    const { metadata: { uid } } = await this.run(name);
    const reported = { apiVersion: API_VERSION, kind: 'PolarPretrain', metadata: { name, namespace: this.namespace, uid }, status };
    await applyStatus(this.admin, RUN_RESOURCES.PolarPretrain, reported as KubeObject, { fieldManager: MANAGER_INGEST });
  }

  jobs(): Promise<readonly Job[]> {
    return list<Job>(this.admin, JOBS, { namespace: this.namespace }).then(({ items }) => items);
  }

  pods(): Promise<readonly Pod[]> {
    return list<Pod>(this.admin, PODS, { namespace: this.namespace, labelSelector: LABEL_RUN_UID }).then(({ items }) => items);
  }

  /** Waits until the run's condition has that status, and returns its reason and message. */
  until(name: string, type: string, wanted: 'True' | 'False', options: { reason?: string; kind?: RunKind } = {}): Promise<{ reason: string; message: string }> {
    return eventually(async () => {
      const { status } = await this.run(name, options.kind);
      const condition = status?.conditions?.find((one) => one.type === type);
      if (condition?.status !== wanted || (options.reason !== undefined && condition.reason !== options.reason)) throw new Error(`${name}: ${JSON.stringify(status, null, 1)}`);
      return { reason: condition.reason, message: condition.message };
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#playing;
  }

  async #play(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const pods = await this.pods().catch(() => []);
      for (const job of await this.jobs().catch(() => [])) this.jobUids.add(job.metadata.uid ?? '');
      const live = new Set(pods.filter((pod) => !['Succeeded', 'Failed'].includes(pod.status?.phase ?? '')).map((pod) => pod.metadata.labels?.[LABEL_ATTEMPT]));
      this.mostLiveAttempts = Math.max(this.mostLiveAttempts, live.size);
      await Promise.all(pods.map((pod) => this.#act(pod).catch(() => undefined)));
      await sleep(50);
    }
  }

  async #act(pod: Pod): Promise<void> {
    const { labels = {}, name } = pod.metadata;
    const next = this.script(Number(labels[LABEL_ATTEMPT]), Number(labels[LABEL_COMPLETION_INDEX]));
    if (next === 'pending') return;
    const phase = pod.status?.phase;
    if (phase === 'Pending') await this.setPod(name, { running: { startedAt: new Date().toISOString() } });
    if (phase === 'Running' && next !== undefined) {
      await this.setPod(name, { terminated: { exitCode: next.code, reason: next.code === 0 ? 'Completed' : 'Error', message: JSON.stringify({ ...next.said, message: next.message ?? `exit ${next.code}` }) } });
    }
  }

  async setPod(name: string, state: { running?: object; terminated?: { exitCode: number; reason: string; message: string }; waiting?: object }): Promise<void> {
    const ready = state.running !== undefined;
    const phase = state.terminated === undefined ? (ready ? 'Running' : 'Pending') : state.terminated.exitCode === 0 ? 'Succeeded' : 'Failed';
    const containerStatuses = [{ name: TRAINER_CONTAINER, image: 'trainer:test', imageID: '', ready, restartCount: 0, state }];
    const status = { phase, conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }], containerStatuses };
    await this.admin.request('PATCH', pathOf(PODS, { namespace: this.namespace, name, subresource: 'status' }), { body: { status }, contentType: 'application/merge-patch+json' });
  }
}

/** What a test of runs has at hand: a cluster for the file; a namespace and an operator for each test. */
export interface Stage {
  readonly admin: KubeClient;
  /** May do what the operator may. */
  readonly client: KubeClient;
  readonly world: RunWorld;
  /** Stops the operator, if one runs, and starts another; with `client: null` none. */
  restart(options?: OperatorOptions & { readonly client?: KubeClient | null }): Promise<void>;
}

/** Registers the hooks that set the stage and clear it away. */
export function runStage(name: string, options: OperatorOptions = {}): Stage {
  const stage = {} as { -readonly [F in keyof Stage]: Stage[F] } & { cluster: TestCluster; operator: Operator | undefined };
  stage.restart = async ({ client = stage.client, ...given } = {}) => {
    await stage.operator?.stop();
    stage.operator = client === null ? undefined : startOperator(client, { ...options, ...given });
  };
  before(async () => {
    stage.cluster = await startCluster({ crds: true, controllers: true });
    stage.admin = await clientFor(stage.cluster.adminConfig);
    await applyFiles(stage.cluster.kubeconfigPath, [join(repositoryRoot, 'local/manifests/operator.yaml')]);
    stage.client = await operatorClient(stage.cluster, stage.admin);
  });
  beforeEach(async () => {
    stage.world = new RunWorld(stage.admin, await stage.cluster.namespace(name));
    await stage.restart();
  });
  afterEach(async () => {
    await stage.restart({ client: null });
    await stage.world.stop();
  });
  after(async () => {
    await Promise.all([stage.client.close(), stage.admin.close()]);
    await stage.cluster.stop();
  });
  return stage;
}

export function unfinished(jobs: readonly Job[]): readonly Job[] {
  return jobs.filter((job) => isTrue(job.status?.conditions, 'Complete') === undefined && isTrue(job.status?.conditions, 'Failed') === undefined);
}

/** Asks again until it does not throw; after a minute the last error counts. */
export async function eventually<T>(ask: () => Promise<T>, withinMs = 60_000): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}
