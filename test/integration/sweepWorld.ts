// What tests of sweeps share: the sweeps' controller alone, with the permissions of its manifest, and a player of runs.
import { join } from 'node:path';
import { after, afterEach, before, beforeEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { applyFiles } from '../../local/src/apply.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { ANNOTATION_POINT, API_VERSION, MANAGER_INGEST } from '../../operator/src/api/labels.ts';
import type { RunStatus } from '../../operator/src/api/status.ts';
import type { SweepStatus } from '../../operator/src/api/sweepStatus.ts';
import { RUN_RESOURCES, allCaches, runCaches } from '../../operator/src/run/caches.ts';
import { CONFIG_MAPS } from '../../operator/src/run/objects.ts';
import type { ConfigMap } from '../../operator/src/run/objects.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { eventRecorder } from '../../operator/src/runtime/events.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import { create, get, list } from '../../operator/src/runtime/verbs.ts';
import { SWEEPS, allSweepCaches, sweepCaches } from '../../operator/src/sweep/caches.ts';
import { sweepController } from '../../operator/src/sweep/controllers.ts';
import type { Point, PointRecord, RunRecord } from '../../operator/src/sweep/point.ts';
import { pointRecords, recordsIn } from '../../operator/src/sweep/records.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { eventually, operatorClient, silent } from './runWorld.ts';
import type { Operator } from './runWorld.ts';

export interface StoredSweep extends KubeObject {
  readonly metadata: KubeObject['metadata'] & { readonly uid: string };
  readonly status?: SweepStatus;
}

export interface Child extends KubeObject {
  readonly metadata: KubeObject['metadata'] & { readonly uid: string };
  readonly spec: { readonly suspend?: boolean; readonly model: { readonly size?: string }; readonly budget: { readonly steps?: number; readonly tokens?: string }; readonly optimizer: Readonly<Record<string, unknown>>; readonly ttlSecondsAfterFinished?: number } & Readonly<Record<string, unknown>>;
  readonly status?: RunStatus;
}

/** What becomes of a run: its final loss, a failure, or undefined to keep it running. */
export type Script = (child: Child) => { readonly loss: number } | { readonly failure: string } | undefined;

export const PARAMETERS: Readonly<Record<string, number>> = { '300K': 299_520, '1M': 1_000_000, '3M': 3_000_000, '10M': 10_000_000, '30M': 30_000_000 };

/** Sweeps as main.ts wires them, without the controllers of runs. */
export function startSweeps(client: KubeClient, now: () => number = Date.now): Operator {
  const stop = new AbortController();
  const timing = { minBackoffMs: 20, maxBackoffMs: 200 };
  const caches = runCaches({ client, log: silent, timing });
  const sweeps = sweepCaches({ client, log: silent, timing });
  const watching = [...allCaches(caches), ...allSweepCaches(sweeps)].map((cache) => cache.run(stop.signal));
  const working = sweepController({ client, caches, sweepCaches: sweeps, log: silent, events: eventRecorder(client, 'polar-operator', silent), workers: 2, now }, stop.signal);
  return { stop: async () => { stop.abort(); await Promise.all([working, ...watching]); } };
}

/** One namespace, and something that trains runs by a script: what the controller of runs and the trainer write. */
export class SweepWorld {
  readonly admin: KubeClient;
  readonly namespace: string;
  script: Script = () => undefined;
  /** Seconds that a run seems to have trained. */
  trainedSeconds = 3600;
  mostRunning = 0;
  readonly seen = new Map<string, string>();
  readonly #stop = new AbortController();
  readonly #playing: Promise<void>;

  constructor(admin: KubeClient, namespace: string) {
    this.admin = admin;
    this.namespace = namespace;
    this.#playing = this.#play();
  }

  sweep(name: string, spec: object, template: object = {}): Promise<StoredSweep> {
    const about = { apiVersion: API_VERSION, kind: 'PolarSweep', metadata: { name, namespace: this.namespace } };
    const full = { template: { data: { uri: 'pvc://data/pool', maxLength: 512, maxResponseLength: 128 }, checkpoint: { store: { pvc: 'runs' } }, ...template }, ...spec };
    return create(this.admin, SWEEPS, { ...about, spec: full } as unknown as StoredSweep);
  }

  async read(name: string): Promise<StoredSweep> {
    const sweep = await get<StoredSweep>(this.admin, SWEEPS, { namespace: this.namespace, name });
    if (sweep === undefined) throw new Error(`no sweep ${name}`);
    return sweep;
  }

  async patch(name: string, spec: object): Promise<void> {
    await this.admin.request('PATCH', pathOf(SWEEPS, { namespace: this.namespace, name }), { body: { spec }, contentType: 'application/merge-patch+json' });
  }

  children(): Promise<readonly Child[]> {
    return list<Child>(this.admin, RUN_RESOURCES.PolarPretrain, { namespace: this.namespace }).then(({ items }) => items);
  }

  async shards(): Promise<readonly ConfigMap[]> {
    const { items } = await list<ConfigMap>(this.admin, CONFIG_MAPS, { namespace: this.namespace, labelSelector: 'polar.training/sweep-uid' });
    return items;
  }

  async records(): Promise<readonly RunRecord[]> {
    return (await this.shards()).flatMap(({ data }) => recordsIn(data));
  }

  async points(): Promise<readonly PointRecord[]> {
    return pointRecords(await this.records());
  }

  /** Waits until the sweep's condition has that status, and returns its reason and message. */
  until(name: string, type: string, wanted: 'True' | 'False', reason?: string): Promise<{ reason: string; message: string }> {
    return eventually(async () => {
      const { status } = await this.read(name);
      const condition = status?.conditions?.find((one) => one.type === type);
      if (condition?.status !== wanted || (reason !== undefined && condition.reason !== reason)) throw new Error(`${name}: ${JSON.stringify(status, null, 1)}`);
      return condition;
    });
  }

  /** Writes a run's status as its controller and ingest do. */
  async report(child: Child, status: RunStatus): Promise<void> {
    const path = pathOf(RUN_RESOURCES.PolarPretrain, { namespace: this.namespace, name: child.metadata.name, subresource: 'status' });
    await this.admin.request('PATCH', path, { body: { metadata: { uid: child.metadata.uid }, status }, contentType: 'application/merge-patch+json', query: { fieldManager: MANAGER_INGEST } });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#playing;
  }

  async #play(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const children = await this.children().catch(() => []);
      this.mostRunning = Math.max(this.mostRunning, children.filter((child) => !isOver(child) && !isSuspended(child)).length);
      await Promise.all(children.map((child) => this.#act(child).catch(() => undefined)));
      await sleep(50);
    }
  }

  async #act(child: Child): Promise<void> {
    const { name, uid, generation = 1 } = child.metadata;
    this.seen.set(uid, name);
    if (isOver(child)) return;
    const condition = (type: string, status: 'True' | 'False', reason: string, message = reason): NonNullable<RunStatus['conditions']>[number] =>
      ({ type, status, reason, message, lastTransitionTime: new Date().toISOString().replace(/\.\d+Z/, 'Z'), observedGeneration: generation });
    if (child.spec.suspend === true) {
      if (!isSuspended(child)) await this.report(child, { conditions: [condition('Suspended', 'True', 'SuspendRequested')] });
      return;
    }
    if (child.status?.startTime === undefined) await this.report(child, { startTime: new Date(Date.now() - this.trainedSeconds * 1000).toISOString(), attempt: 1, phase: 'Running', conditions: [condition('Suspended', 'False', 'NotSuspended')] });
    else if (isSuspended(child)) await this.report(child, { conditions: [condition('Suspended', 'False', 'NotSuspended')] });
    const end = this.script(child);
    if (end === undefined) return;
    const completionTime = new Date().toISOString();
    if ('failure' in end) await this.report(child, { completionTime, conditions: [condition('Failed', 'True', 'DataInvalid', end.failure)] });
    else await this.report(child, { completionTime, ...finalOf(child, end.loss), conditions: [condition('Complete', 'True', 'AllStepsDone')] });
  }
}

/** The point that a run is for. */
export function pointOf({ metadata }: Pick<Child, 'metadata'>): Point {
  return JSON.parse(metadata.annotations?.[ANNOTATION_POINT] ?? '{}') as Point;
}

/** What a trainer reports last. */
export function finalOf({ metadata, spec: { budget, optimizer, checkpoint } }: Child, loss: number): RunStatus {
  const parameters = PARAMETERS[pointOf({ metadata }).size] ?? 1_000_000;
  const tokens = budget.tokens === undefined ? (budget.steps ?? 0) * Number(optimizer['batchTriplets']) * 100 : Number(budget.tokens);
  const step = budget.steps ?? 100;
  return {
    progress: { stage: 'Done', step, totalSteps: step, tokens, computedTokens: tokens * 2, flops: String(12 * parameters * tokens), parameters: parameters + 50_000, parametersWithoutEmbedding: parameters, valLoss: String(loss) },
    checkpoints: { history: [...(checkpoint as { keepSteps?: readonly number[] }).keepSteps ?? []].reverse().map((at) => ({ step: at, uri: `pvc://runs/step-${at}`, tokens: at * Number(optimizer['batchTriplets']) * 100 })) },
    validation: { step, seenPolicies: { pairs: 500, loss: String(loss), lossStandardError: '0.01' } },
    curve: Array.from({ length: 10 }, (_, index) => ({ step: index + 1, tokens: Math.round(tokens * (index + 1) / 10), valLoss: String(loss * (2 - (index + 1) / 10)) })),
  };
}

export function isOver({ status }: Child): boolean {
  return status?.conditions?.some(({ type, status: is }) => (type === 'Complete' || type === 'Failed') && is === 'True') === true;
}

export function isSuspended({ status }: Child): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Suspended' && is === 'True') === true;
}

export interface SweepStage {
  readonly admin: KubeClient;
  readonly client: KubeClient;
  readonly world: SweepWorld;
  /** Stops the operator, if one runs, and starts another; with null none. */
  restart(client?: KubeClient | null): Promise<void>;
}

/** Registers the hooks: a cluster for the file; a namespace and an operator for each test. */
export function sweepStage(name: string): SweepStage {
  const stage = {} as { -readonly [F in keyof SweepStage]: SweepStage[F] } & { cluster: TestCluster; operator: Operator | undefined };
  stage.restart = async (client = stage.client) => {
    await stage.operator?.stop();
    stage.operator = client === null ? undefined : startSweeps(client);
  };
  before(async () => {
    stage.cluster = await startCluster({ crds: true, controllers: true });
    stage.admin = await clientFor(stage.cluster.adminConfig);
    await applyFiles(stage.cluster.kubeconfigPath, [join(repositoryRoot, 'local/manifests/operator.yaml')]);
    stage.client = await operatorClient(stage.cluster, stage.admin);
  });
  beforeEach(async () => {
    stage.world = new SweepWorld(stage.admin, await stage.cluster.namespace(name));
    await stage.restart();
  });
  afterEach(async () => {
    await stage.restart(null);
    await stage.world.stop();
  });
  after(async () => {
    await Promise.all([stage.client.close(), stage.admin.close()]);
    await stage.cluster.stop();
  });
  return stage;
}
