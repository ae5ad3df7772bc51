// Plays the node of one namespace: binds pods, runs them, ends them as a workload's script says, and lets deleted ones go.
import { setTimeout as sleep } from 'node:timers/promises';
import { LABEL_ATTEMPT, LABEL_COMPLETION_INDEX, LABEL_RUN_UID, TRAINER_CONTAINER } from '../../operator/src/api/labels.ts';
import { PODS } from '../../operator/src/run/objects.ts';
import type { Pod } from '../../operator/src/run/objects.ts';
import { isNotFound } from '../../operator/src/runtime/apiError.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import { NODE_NAME } from './cluster.ts';
import type { Observer } from './observer.ts';

export interface End {
  readonly code: number;
  /** The whole termination message; JSON as trainers write it, or anything at all. */
  readonly message?: string;
  /** Sets the condition DisruptionTarget, as an eviction does. */
  readonly isDisrupted?: boolean;
}

export interface Worker {
  /** Namespace of the plan. */
  readonly world: string;
  readonly kind: 'pretrain' | 'finetune';
  readonly run: string;
  readonly attempt: number;
  readonly index: number;
}

/** How a worker that runs ends; a promise that never resolves keeps it running. `stuck` keeps it from starting. */
export type Script = (worker: Worker) => Promise<End> | 'stuck';

// Trainers save on SIGTERM and say so.
const STOPPED: End = { code: 20, message: JSON.stringify({ reason: 'Interrupted', message: 'stopped by a signal' }) };
const STOPPING_MS = 60;

export class Kubelet {
  script: Script;
  readonly #admin: KubeClient;
  readonly #namespace: string;
  readonly #unsubscribe: () => void;
  readonly #known = new Map<string, { stopping: boolean }>();
  #stopped = false;

  constructor(admin: KubeClient, observer: Observer, namespace: string, script: Script) {
    this.#admin = admin;
    this.#namespace = namespace;
    this.script = script;
    this.#unsubscribe = observer.subscribe(namespace, ({ kind, object, type }) => {
      if (kind !== 'Pod' || object.metadata.labels?.[LABEL_RUN_UID] === undefined) return;
      if (type === 'DELETED') this.#known.delete(object.metadata.uid ?? '');
      else this.#meet(object);
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#unsubscribe();
  }

  #meet(pod: Pod): void {
    const uid = pod.metadata.uid ?? '';
    const known = this.#known.get(uid);
    if (known === undefined) {
      this.#known.set(uid, { stopping: false });
      this.#quietly(() => this.#live(pod));
    }
    const state = this.#known.get(uid);
    if (pod.metadata.deletionTimestamp === undefined || state === undefined || state.stopping) return;
    state.stopping = true;
    this.#quietly(() => this.#letGo(pod));
  }

  /** Pods may be gone at any moment, and a control plane that was restarted or frozen answers later. */
  #quietly(work: () => Promise<void>): void {
    const attempt = async (): Promise<void> => {
      for (let tries = 0; tries < 60 && !this.#stopped; tries++) {
        try {
          return await work();
        } catch (error) {
          if (isNotFound(error)) return;
          await sleep(200);
        }
      }
    };
    void attempt();
  }

  async #live(pod: Pod): Promise<void> {
    const { name } = pod.metadata;
    const target = { apiVersion: 'v1', kind: 'Binding', metadata: { name }, target: { kind: 'Node', name: NODE_NAME } };
    const spec = pod.spec as { nodeName?: string } | undefined;
    if (spec?.nodeName === undefined) await this.#admin.request('POST', pathOf(PODS, { namespace: this.#namespace, name, subresource: 'binding' }), { body: target }).catch(() => undefined);
    const worker = workerOf(pod);
    const end = this.script(worker);
    if (end === 'stuck') return;
    await this.#set(name, { phase: 'Running', ready: true, state: { running: { startedAt: new Date().toISOString() } } });
    const how = await end;
    if (this.#known.get(pod.metadata.uid ?? '')?.stopping === true) return;
    await this.#end(name, how);
  }

  async #letGo(pod: Pod): Promise<void> {
    const { name, uid } = pod.metadata;
    await sleep(STOPPING_MS);
    if (pod.status?.phase === 'Running') await this.#end(name, STOPPED);
    await this.#admin.request('DELETE', pathOf(PODS, { namespace: this.#namespace, name }), { body: { apiVersion: 'v1', kind: 'DeleteOptions', gracePeriodSeconds: 0, preconditions: { uid } } });
  }

  #end(name: string, { code, message = '', isDisrupted = false }: End): Promise<void> {
    const terminated = { exitCode: code, reason: code === 0 ? 'Completed' : 'Error', message, startedAt: new Date().toISOString(), finishedAt: new Date().toISOString() };
    return this.#set(name, { phase: code === 0 ? 'Succeeded' : 'Failed', ready: false, state: { terminated }, isDisrupted });
  }

  async #set(name: string, { phase, ready, state, isDisrupted }: { phase: string; ready: boolean; state: object; isDisrupted?: boolean }): Promise<void> {
    const disruption = isDisrupted === true ? [{ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI', message: 'the node is drained' }] : [];
    const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }, ...disruption];
    const containerStatuses = [{ name: TRAINER_CONTAINER, image: 'trainer:test', imageID: '', ready, restartCount: 0, state }];
    const body = { status: { phase, conditions, containerStatuses } };
    await this.#admin.request('PATCH', pathOf(PODS, { namespace: this.#namespace, name, subresource: 'status' }), { body, contentType: 'application/merge-patch+json' });
  }
}

function workerOf({ metadata: { labels = {}, namespace = '' } }: Pod): Worker {
  return {
    world: namespace,
    kind: labels['polar.training/kind'] === 'PolarFinetune' ? 'finetune' : 'pretrain', run: labels['polar.training/run'] ?? '',
    attempt: Number(labels[LABEL_ATTEMPT]), index: Number(labels[LABEL_COMPLETION_INDEX]),
  };
}
