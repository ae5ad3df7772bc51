// One pod on this node, from binding to removal: address, volumes, init containers, containers, deadline, deletion.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Agent } from './agent.ts';
import { rfc3339, sleep } from './clock.ts';
import { ContainerRunner } from './container.ts';
import type { NodeFacts } from './downward.ts';
import { isStatus } from './api.ts';
import { rootsDirectory } from './launch.ts';
import { reasonOf } from './log.ts';
import type { ContainerLog } from './logs.ts';
import { keyOf } from './objects.ts';
import type { Container, Pod, PodStatus } from './objects.ts';
import { initialRecord } from './record.ts';
import { isInitialized, phaseOf, podStatus } from './status.ts';
import type { ContainerRecord } from './status.ts';
import { StatusWriter } from './statuswriter.ts';
import { podTokens } from './tokens.ts';
import { PodVolumes } from './volumes/mounts.ts';
import type { ProjectionInput } from './volumes/projection.ts';

interface Ending { readonly graceMs: number; readonly reason?: string; readonly message?: string }

const VOLUME_RETRY_MS = 1_000;
const REFRESH_MS = 3_000;
const POLL_MS = 200;

export const isTerminal = (pod: Pod): boolean => pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';

/** Invariant: once `ended` resolves, no process of the pod runs and its last status was sent or can no longer be. */
export class PodWorker {
  readonly ip: string;
  readonly ended: Promise<void>;
  #pod: Pod;
  readonly #agent: Agent;
  readonly #facts: NodeFacts;
  readonly #init: ContainerRunner[];
  readonly #main: ContainerRunner[];
  readonly #volumes: PodVolumes;
  readonly #inputs: () => ProjectionInput;
  readonly #writer: StatusWriter;
  readonly #stop = new AbortController();
  readonly #lost = new AbortController();
  readonly #changed: () => void;
  #ending: Ending | undefined;
  #finished = false;
  #sandboxReady = false;
  #deleting = false;
  readonly #startTime: string;

  constructor(agent: Agent, pod: Pod, ip: string, changed: () => void) {
    this.#agent = agent;
    this.#pod = pod;
    this.ip = ip;
    this.#changed = changed;
    this.#startTime = pod.status?.startTime ?? rfc3339(new Date());
    this.#facts = { nodeName: agent.nodeName, podIP: ip, hostIP: agent.hostIP, allocatable: agent.allocatable };
    this.#volumes = new PodVolumes(join(this.directory, 'volumes'), agent.api);
    const tokens = podTokens(agent.api, pod);
    const sources = agent.sourcesOf(pod.metadata.namespace);
    this.#inputs = () => ({ pod: this.#pod, facts: this.#facts, sources, tokens });
    this.#writer = new StatusWriter(agent.api, pod, { current: () => this.#status(), log: agent.log, signal: this.#lost.signal });
    this.#init = (pod.spec.initContainers ?? []).map((container) => this.#runner(container, container.restartPolicy === 'Always' ? 'sidecar' : 'init'));
    this.#main = pod.spec.containers.map((container) => this.#runner(container, 'main'));
    this.ended = isTerminal(pod) ? this.#rest() : this.#live();
  }

  get pod(): Pod { return this.#pod; }
  get finished(): boolean { return this.#finished; }
  get directory(): string { return join(this.#agent.dir, 'pods', this.#pod.metadata.uid); }
  get ready(): boolean { return !this.#finished && this.#ending === undefined && this.#main.every((runner) => runner.record.ready); }

  get #logDirectory(): string {
    const { namespace, name, uid } = this.#pod.metadata;
    return join(this.#agent.dir, 'logs', `${namespace}_${name}_${uid}`);
  }

  /** Takes the newest version of the pod object. */
  update(pod: Pod): void {
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp === undefined) return;
    if (this.#finished) void this.#delete();
    else this.end({ graceMs: (pod.metadata.deletionGracePeriodSeconds ?? 30) * 1000 });
  }

  /** Stops every container; a shorter grace replaces a longer one under way. */
  end(ending: Ending): void {
    if (this.#ending && this.#ending.graceMs <= ending.graceMs) return;
    if (!this.#ending) this.#agent.events(this.#pod, 'Normal', 'Killing', `Stopping pod ${this.#pod.metadata.name}${ending.message ? `: ${ending.message}` : ''}`);
    this.#ending = this.#ending ? { ...this.#ending, graceMs: ending.graceMs } : ending;
    this.#stop.abort();
    const sidecars = this.#init.filter((runner) => runner.container.restartPolicy === 'Always');
    const plain = [...this.#init.filter((runner) => !sidecars.includes(runner)), ...this.#main];
    for (const runner of plain) void runner.stop(ending.graceMs);
    if (ending.graceMs === 0) for (const runner of sidecars) void runner.stop(0);
  }

  /** The object is gone from the API server: nothing is left to tell anybody. */
  async forget(): Promise<void> {
    this.#lost.abort();
    this.end({ graceMs: 0 });
    await this.ended;
    rmSync(this.#logDirectory, { recursive: true, force: true });
  }

  /** Where the log of a container lies and, while it runs, the open log; or why there is none. */
  logOf(name: string, previous: boolean): { path: string; live: ContainerLog | undefined } | string {
    const runner = [...this.#init, ...this.#main].find((one) => one.container.name === name);
    const inPod = `container "${name}" in pod "${this.#pod.metadata.name}"`;
    if (!runner) return `${inPod} not found`;
    const { restartCount, state, lastState } = runner.record;
    if (previous && restartCount === 0) return `previous terminated ${inPod} not found`;
    if (state.waiting && !lastState) return `${inPod} is waiting to start: ${state.waiting.reason ?? ''}`;
    const live = !previous && state.running ? runner.log : undefined;
    return { path: runner.logPath(previous ? restartCount - 1 : restartCount), live };
  }

  #runner(container: Container, role: 'init' | 'sidecar' | 'main'): ContainerRunner {
    const { status, spec } = this.#pod;
    const statuses = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
    const waitingFor = role === 'main' && !spec.initContainers?.length ? 'ContainerCreating' : 'PodInitializing';
    const record = initialRecord(container, statuses.find((one) => one.name === container.name), waitingFor, rfc3339(new Date()));
    return new ContainerRunner(container, record, {
      agent: this.#agent, pod: () => this.#pod, facts: this.#facts, volumes: this.#volumes.paths, role,
      directory: this.directory, logDirectory: this.#logDirectory, changed: () => { this.#tell(); },
    });
  }

  #tell(): void {
    this.#writer.mark();
    this.#changed();
  }

  #records(): [ContainerRecord[], ContainerRecord[]] {
    return [this.#init.map((runner) => runner.record), this.#main.map((runner) => runner.record)];
  }

  #status(): PodStatus {
    const { reason, message } = this.#ending ?? {};
    return podStatus(this.#pod, ...this.#records(), {
      podIP: this.ip, hostIP: this.#agent.hostIP, startTime: this.#startTime, now: rfc3339(new Date()),
      sandboxReady: this.#sandboxReady, stopped: this.#finished && this.#stop.signal.aborted,
      ...(reason !== undefined && { reason }), ...(message !== undefined && { message }),
    });
  }

  /** A pod that ended before this agent saw it: only its deletion is left to do. */
  async #rest(): Promise<void> {
    this.#finished = true;
    rmSync(this.directory, { recursive: true, force: true });
    if (this.#pod.metadata.deletionTimestamp !== undefined) await this.#delete();
  }

  async #live(): Promise<void> {
    // the constructor returns first, so that the owner knows the worker before anything happens
    await sleep(0);
    this.update(this.#pod);
    this.#tell();
    const deadline = this.#watchDeadline();
    try {
      await this.#run();
    } catch (error) {
      this.#agent.log('error', 'pod worker failed', { pod: keyOf(this.#pod), reason: reasonOf(error) });
      this.end({ graceMs: 0, reason: 'AgentError', message: reasonOf(error) });
    }
    deadline.abort();
    await this.#finish();
  }

  async #run(): Promise<void> {
    if (!await this.#mount()) return;
    this.#sandboxReady = true;
    const refreshing = this.#keepFresh();
    const sidecars: Promise<void>[] = [];
    for (const runner of this.#init) {
      await this.#initialize(runner, sidecars);
      if (this.#stop.signal.aborted || !isInitialized(this.#pod, [runner.record])) break;
    }
    const ready = isInitialized(this.#pod, this.#records()[0]) && !this.#stop.signal.aborted;
    if (ready) await Promise.all(this.#main.map((runner) => runner.run()));
    const graceMs = this.#ending?.graceMs ?? (this.#pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
    await Promise.all(this.#init.map((runner) => runner.stop(graceMs)));
    await Promise.all(sidecars);
    refreshing.abort();
  }

  /** Runs an init container to its end, or starts a sidecar and waits until it has started. */
  async #initialize(runner: ContainerRunner, sidecars: Promise<void>[]): Promise<void> {
    if (runner.container.restartPolicy !== 'Always') {
      await runner.run();
      return;
    }
    sidecars.push(runner.run());
    while (!runner.record.started && !this.#stop.signal.aborted) await sleep(POLL_MS, this.#stop.signal);
  }

  async #mount(): Promise<boolean> {
    for (let tries = 0; !this.#stop.signal.aborted; tries += 1) {
      try {
        await this.#volumes.prepare(this.#inputs());
        return true;
      } catch (error) {
        if (tries % 10 === 0) this.#agent.events(this.#pod, 'Warning', 'FailedMount', reasonOf(error));
        await sleep(VOLUME_RETRY_MS, this.#stop.signal);
      }
    }
    return false;
  }

  #keepFresh(): AbortController {
    const done = new AbortController();
    const loop = async (): Promise<void> => {
      while (!done.signal.aborted) {
        await sleep(REFRESH_MS, done.signal);
        if (!done.signal.aborted) await this.#volumes.refresh(this.#inputs());
      }
    };
    void loop();
    return done;
  }

  #watchDeadline(): AbortController {
    const done = new AbortController();
    const seconds = this.#pod.spec.activeDeadlineSeconds;
    if (seconds === undefined) return done;
    const left = Date.parse(this.#startTime) + seconds * 1000 - Date.now();
    void sleep(left, done.signal).then(() => {
      if (done.signal.aborted) return;
      const graceMs = (this.#pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
      this.end({ graceMs, reason: 'DeadlineExceeded', message: 'Pod was active on the node longer than the specified deadline' });
    });
    return done;
  }

  async #finish(): Promise<void> {
    this.#finished = true;
    this.#sandboxReady = false;
    this.#agent.log('info', 'pod ended', { pod: keyOf(this.#pod), phase: phaseOf(this.#pod, ...this.#records(), this.#stop.signal.aborted) });
    this.#tell();
    await this.#writer.flush();
    await this.#clean();
    if (this.#pod.metadata.deletionTimestamp !== undefined) await this.#delete();
  }

  async #clean(): Promise<void> {
    try {
      await this.#volumes.remove();
      for (const directory of [rootsDirectory(this.#agent, this.#pod), this.directory]) rmSync(directory, { recursive: true, force: true });
    } catch (error) {
      this.#agent.log('warn', 'pod folder not removed', { pod: keyOf(this.#pod), reason: reasonOf(error) });
    }
  }

  async #delete(): Promise<void> {
    if (this.#deleting || this.#lost.signal.aborted) return;
    this.#deleting = true;
    const { name, namespace, uid } = this.#pod.metadata;
    for (let tries = 0; tries < 10 && !this.#lost.signal.aborted; tries += 1) {
      try {
        await this.#agent.api.remove(`/api/v1/namespaces/${namespace}/pods/${name}`, { gracePeriodSeconds: 0, preconditions: { uid } });
        break;
      } catch (error) {
        if (isStatus(error, 404) || isStatus(error, 409)) break;
        this.#agent.log('warn', 'pod not deleted, trying again', { pod: keyOf(this.#pod), reason: reasonOf(error) });
        await sleep(VOLUME_RETRY_MS, this.#lost.signal);
      }
    }
    this.#deleting = false;
  }
}
