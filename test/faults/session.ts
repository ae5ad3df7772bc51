// Everything one plan runs in: a namespace, a proxy, an operator behind it, and a node.
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../../local/src/controlplane/ports.ts';
import { localRoot } from '../../local/src/paths.ts';
import type { FaultCluster } from './cluster.ts';
import { Kubelet } from './kubelet.ts';
import type { Observer } from './observer.ts';
import { OperatorProcess } from './operatorProcess.ts';
import type { Plan } from './plan.ts';
import { FaultProxy } from './proxy.ts';
import type { Workload } from './workloads.ts';
import { World } from './world.ts';

const WATCHES = 7;
const START_MS = 30_000;

export interface SessionOptions {
  readonly cluster: FaultCluster;
  readonly observer: Observer;
  readonly workload: Workload;
  readonly plan: Plan;
  /** Folder with another operator/src. */
  readonly source?: string | undefined;
}

export class Session {
  readonly cluster: FaultCluster;
  readonly observer: Observer;
  readonly namespace: string;
  readonly proxy: FaultProxy;
  readonly operator: OperatorProcess;
  readonly kubelet: Kubelet;
  readonly world: World;
  readonly #marks = new Map<string, number>();

  private constructor(options: SessionOptions, parts: { namespace: string; proxy: FaultProxy; operator: OperatorProcess; ingestPort: number }) {
    this.cluster = options.cluster;
    this.observer = options.observer;
    this.namespace = parts.namespace;
    this.proxy = parts.proxy;
    this.operator = parts.operator;
    this.kubelet = new Kubelet(options.cluster.admin, options.observer, parts.namespace, options.workload.script);
    this.world = new World({ admin: options.cluster.admin, observer: options.observer, namespace: parts.namespace, kubelet: this.kubelet, ingestPort: parts.ingestPort });
  }

  static async open(options: SessionOptions): Promise<Session> {
    const { cluster, plan, workload } = options;
    const [ingestPort = 0] = workload.reports === true ? await freePorts(1) : [];
    const ingest = ingestPort === 0 ? [] : ['--ingest-port', String(ingestPort), '--ingest-address', `localhost:${ingestPort}`, '--report-interval', '1'];
    const namespace = await cluster.namespace();
    const { server } = cluster.plane;
    const proxy = new FaultProxy({ upstream: { server, authority: cluster.plane.credentials.authority.certificate }, keys: cluster.proxyKeys, namespace });
    const url = await proxy.listen();
    const operator = new OperatorProcess({
      dir: cluster.dir, name: namespace, server: url, authority: cluster.proxyAuthority, token: cluster.token, namespace, source: options.source, args: [...ingest, ...(plan.args ?? [])],
    });
    return new Session(options, { namespace, proxy, operator, ingestPort });
  }

  /** Starts the operator; a lease that its killed predecessor holds is taken away first, as waiting for it to run out is not what plans are about. */
  async startOperator(): Promise<void> {
    await this.cluster.admin.request('DELETE', `/apis/coordination.k8s.io/v1/namespaces/${this.namespace}/leases`).catch(() => undefined);
    this.operator.start();
  }

  /** Resolves when the operator watches everything it needs. */
  async untilWatching(): Promise<void> {
    const deadline = Date.now() + START_MS;
    while (new Set(this.proxy.calls.filter((call) => call.isWatch).map((call) => call.resource)).size < WATCHES) {
      if (Date.now() > deadline) throw new Error(`the operator watched ${this.proxy.watches.length} resources after ${START_MS / 1000} s, expected ${WATCHES}`);
      await sleep(20);
    }
  }

  async untilServerReady(): Promise<void> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      try {
        await this.cluster.admin.request('GET', '/api/v1/namespaces/default', { timeoutMs: 2000 });
        return;
      } catch (error) {
        if (Date.now() > deadline) throw error;
        await sleep(100);
      }
    }
  }

  noteMark(name: string, revision?: number): void {
    this.#marks.set(name, revision ?? Math.max(0, ...this.observer.history(this.namespace).map((seen) => seen.revision)));
  }

  get marks(): readonly string[] {
    return [...this.#marks.keys()];
  }

  /** Newest revision of the namespace when the workload passed that mark. */
  revisionAt(mark: string): number {
    const revision = this.#marks.get(mark);
    if (revision === undefined) throw new Error(`the workload has not passed the mark "${mark}" yet: expected one of ${[...this.#marks.keys()].join(', ')}`);
    return revision;
  }

  async close(): Promise<number | null> {
    this.kubelet.stop();
    const code = await this.operator.stop();
    await this.proxy.close();
    return code;
  }

  /** Where alarms are looked into. */
  keepLog(name: string): void {
    const folder = join(localRoot, 'faults/logs');
    mkdirSync(folder, { recursive: true });
    if (existsSync(this.operator.files.log)) cpSync(this.operator.files.log, join(folder, `${name}.log`));
    writeFileSync(join(folder, `${name}.calls`), this.proxy.calls.map(({ at, key, status, body }) => `${new Date(at).toISOString()} ${status} ${key} ${body.slice(0, 300)}`).join('\n'));
  }

  /** After a plan that is of no further interest. */
  forget(): void {
    this.observer.forget(this.namespace);
    rmSync(this.operator.files.log, { force: true });
    rmSync(this.operator.files.kubeconfig, { force: true });
  }
}
