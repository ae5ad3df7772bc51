// Everything one plan runs in: a namespace, a proxy, an operator behind it, and a node.
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RUN_RESOURCES } from '../../operator/src/run/caches.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import { freePorts } from '../../local/src/controlplane/ports.ts';
import { localRoot } from '../../local/src/paths.ts';
import type { Account } from './account.ts';
import type { FaultCluster } from './cluster.ts';
import { putStored } from './etcd.ts';
import { Kubelet } from './kubelet.ts';
import type { Observer } from './observer.ts';
import { OperatorProcess } from './operatorProcess.ts';
import type { Plan } from './plan.ts';
import { FaultProxy } from './proxy.ts';
import type { Workload } from './workloads.ts';
import { World } from './world.ts';

const WATCHES = 7;
const START_MS = 30_000;
// How long a workload waits for one thing.
const PATIENCE_S = 40;
const SHORTEST_PATIENCE_S = 20;

export interface SessionOptions {
  readonly cluster: FaultCluster;
  readonly observer: Observer;
  readonly workload: Workload;
  readonly plan: Plan;
  /** Folder with another operator/src. */
  readonly source?: string | undefined;
}

interface Credentials {
  readonly token: string;
  /** Which of the account's tokens it is, from 1. */
  readonly nth: number;
  readonly account?: Account;
}

async function credentialsFor(cluster: FaultCluster, plan: Plan, namespace: string): Promise<Credentials> {
  if (plan.account !== 'own') return { token: cluster.token, nth: 1 };
  const account = await cluster.account(namespace);
  return { token: await account.token(), nth: 1, account };
}

export class Session {
  readonly cluster: FaultCluster;
  readonly observer: Observer;
  readonly namespace: string;
  readonly proxy: FaultProxy;
  readonly operator: OperatorProcess;
  readonly kubelet: Kubelet;
  readonly world: World;
  #credentials: Credentials;
  readonly #marks = new Map<string, number>();

  private constructor(options: SessionOptions, parts: { namespace: string; proxy: FaultProxy; operator: OperatorProcess; ingestPort: number; credentials: Credentials }) {
    this.cluster = options.cluster;
    this.observer = options.observer;
    this.namespace = parts.namespace;
    this.proxy = parts.proxy;
    this.operator = parts.operator;
    this.#credentials = parts.credentials;
    this.kubelet = new Kubelet(options.cluster.admin, options.observer, parts.namespace, options.workload.script);
    const { admin, plane } = options.cluster;
    this.world = new World({
      admin, observer: options.observer, namespace: parts.namespace, kubelet: this.kubelet, ingestPort: parts.ingestPort, put: (resource, object) => putStored(plane, resource, object),
      patienceMs: Math.max(SHORTEST_PATIENCE_S, options.plan.within ?? PATIENCE_S) * 1000,
    });
  }

  static async open(options: SessionOptions): Promise<Session> {
    const { cluster, plan, workload } = options;
    const [ingestPort = 0] = workload.reports === true ? await freePorts(1) : [];
    const ingest = ingestPort === 0 ? [] : ['--ingest-port', String(ingestPort), '--ingest-address', `localhost:${ingestPort}`, '--report-interval', '1'];
    const namespace = await cluster.namespace();
    const { server } = cluster.plane;
    const credentials = await credentialsFor(cluster, plan, namespace);
    const proxy = new FaultProxy({ upstream: { server, authority: cluster.plane.credentials.authority.certificate }, keys: cluster.proxyKeys, namespace });
    const url = await proxy.listen();
    const operator = new OperatorProcess({
      dir: cluster.dir, name: namespace, server: url, authority: cluster.proxyAuthority, token: credentials.token, namespace, source: options.source, args: [...ingest, ...(plan.args ?? [])],
      clockMs: plan.clockMs ?? (plan.faults.some((fault) => fault.do === 'clock' || fault.do === 'relists') ? 0 : undefined),
    });
    return new Session(options, { namespace, proxy, operator, ingestPort, credentials });
  }

  /** The operator's own account. Throws when the plan gave it none. */
  get account(): Account {
    const { account } = this.#credentials;
    if (account === undefined) throw new Error('the operator has no account of its own: expected "account: own" in the plan');
    return account;
  }

  /** Revokes the operator's token and puts a new one in its place, before that or so much later. Resolves when the old one is refused. */
  async rotateToken(lateMs: number): Promise<{ readonly renewed: Promise<void> }> {
    const old = this.#credentials;
    const next = { ...old, token: await this.account.token(), nth: old.nth + 1 };
    this.#credentials = next;
    const renew = (): void => this.operator.setToken(next.token);
    if (lateMs === 0) renew();
    await this.account.revoke(old.token, old.nth);
    this.proxy.cutWatches();
    return { renewed: lateMs === 0 ? Promise.resolve() : sleep(lateMs).then(renew) };
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
        for (const path of ['/api/v1/namespaces/default', pathOf(RUN_RESOURCES.PolarPretrain)]) await this.cluster.admin.request('GET', path, { timeoutMs: 2000, query: { limit: 1 } });
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
    if (existsSync(this.operator.logFile)) cpSync(this.operator.logFile, join(folder, `${name}.log`));
    writeFileSync(join(folder, `${name}.calls`), this.proxy.calls.map(({ at, key, status, body }) => `${new Date(at).toISOString()} ${status} ${key} ${body.slice(0, 300)}`).join('\n'));
  }

  /** After a plan that is of no further interest. */
  forget(): void {
    this.observer.forget(this.namespace);
    this.operator.forget();
  }
}
