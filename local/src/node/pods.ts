// Every pod bound to this node: a worker per pod UID, its loopback address, and the hosts files all of them share.
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Agent } from './agent.ts';
import { addressFor } from './addresses.ts';
import { sleep } from './clock.ts';
import { hostsText, serviceAddresses } from './hosts.ts';
import type { NamedPod } from './hosts.ts';
import { hostsDirectory } from './launch.ts';
import { reasonOf } from './log.ts';
import { keyOf } from './objects.ts';
import type { Pod, Service } from './objects.ts';
import { peerPods, publishNames } from './peers.ts';
import { PodWorker } from './pod.ts';

const PEERS_MS = 1_000;

/** Invariant: `#workers` has one worker for each pod object of this node; the hosts files name every unfinished one. */
export class Pods {
  readonly #workers = new Map<string, PodWorker>();
  readonly #written = new Map<string, string>();
  readonly #services: () => readonly Service[];
  #agent: Agent | undefined;
  #peers: readonly NamedPod[] = [];
  #published = '';
  #hostsPending = false;
  #closed = false;

  constructor(services: () => readonly Service[]) {
    this.#services = services;
  }

  /** Gives the agent whose pods these are; workers need it and it needs their addresses. */
  attach(agent: Agent): void {
    this.#agent = agent;
  }

  take(pod: Pod): void {
    const known = this.#workers.get(pod.metadata.uid);
    if (known) known.update(pod);
    else if (this.#agent && !this.#closed) this.#start(this.#agent, pod);
  }

  async drop(pod: Pod): Promise<void> {
    const worker = this.#workers.get(pod.metadata.uid);
    if (!worker) return;
    await worker.forget();
    this.#workers.delete(pod.metadata.uid);
    this.hostsChanged();
  }

  list(): Pod[] {
    return [...this.#workers.values()].map((worker) => worker.pod);
  }

  /** The newest pod of that name. */
  find(namespace: string, name: string): PodWorker | undefined {
    return [...this.#workers.values()].findLast(({ pod }) => pod.metadata.namespace === namespace && pod.metadata.name === name);
  }

  addressesOf(service: Service): string[] {
    return serviceAddresses(service, this.#named());
  }

  /** Ends every pod with at most `graceMs` and waits for their processes. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    const workers = [...this.#workers.values()].filter((worker) => !worker.finished);
    for (const worker of workers) {
      const own = (worker.pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
      worker.end({ graceMs: Math.min(own, graceMs), reason: 'NodeShutdown', message: 'the node agent was stopped' });
    }
    await Promise.race([Promise.all(workers.map((worker) => worker.ended)), sleep(graceMs + 5_000)]);
  }

  /** Keeps up with the pods of other nodes of this machine until `signal` aborts. */
  async watchPeers(dir: string, signal: AbortSignal): Promise<void> {
    for (let before = ''; !signal.aborted;) {
      this.#peers = peerPods(dir);
      const now = JSON.stringify(this.#peers);
      if (now !== before) this.hostsChanged();
      before = now;
      await sleep(PEERS_MS, signal);
    }
  }

  /** Removes folders of pods that no longer exist. To be called once, after the first list. */
  removeStrangers(): void {
    const agent = this.#agent;
    if (!agent) return;
    const uids = new Set(this.#workers.keys());
    const strangers = (folder: string, uidOf: (name: string) => string): void => {
      mkdirSync(join(agent.dir, folder), { recursive: true });
      for (const name of readdirSync(join(agent.dir, folder))) {
        if (!uids.has(uidOf(name))) rmSync(join(agent.dir, folder, name), { recursive: true, force: true });
      }
    };
    strangers('pods', (name) => name);
    strangers('logs', (name) => name.split('_')[2] ?? '');
  }

  /** Pods, their readiness or Services changed: the hosts files follow within a moment. */
  hostsChanged(): void {
    if (this.#hostsPending) return;
    this.#hostsPending = true;
    setImmediate(() => {
      this.#hostsPending = false;
      this.#tryWriteHosts();
    });
  }

  #start(agent: Agent, pod: Pod): void {
    const taken = new Set([...this.#workers.values()].filter((worker) => !worker.finished).map((worker) => worker.ip));
    const before = pod.status?.podIP;
    const ip = before !== undefined && !taken.has(before) ? before : addressFor(pod.metadata.uid, taken);
    agent.log('info', 'pod accepted', { pod: keyOf(pod), ip });
    this.#workers.set(pod.metadata.uid, new PodWorker(agent, pod, ip, () => { this.hostsChanged(); }));
    this.#tryWriteHosts();
  }

  #named(): NamedPod[] {
    return [...this.#own(), ...this.#peers];
  }

  #own(): NamedPod[] {
    return [...this.#workers.values()].filter((worker) => !worker.finished).map(({ pod, ip, ready }) => ({ pod, ip, ready }));
  }

  #tryWriteHosts(): void {
    try {
      this.#writeHosts();
    } catch (error) {
      this.#agent?.log('error', 'hosts files not written', { reason: reasonOf(error) });
    }
  }

  #writeHosts(): void {
    if (!this.#agent) return;
    const own = JSON.stringify(this.#own().map(({ pod, ip, ready }) => [pod.metadata.uid, ip, ready]));
    if (own !== this.#published) publishNames(this.#agent.dir, this.#own());
    this.#published = own;
    const named = this.#named();
    for (const namespace of new Set(this.list().map((pod) => pod.metadata.namespace))) {
      const text = hostsText(namespace, named, this.#services());
      if (this.#written.get(namespace) === text) continue;
      const directory = hostsDirectory(this.#agent, namespace);
      mkdirSync(directory, { recursive: true });
      writeFileSync(join(directory, 'hosts.new'), text);
      renameSync(join(directory, 'hosts.new'), join(directory, 'hosts'));
      this.#written.set(namespace, text);
    }
  }
}
