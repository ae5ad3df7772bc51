// One container of a pod: started, probed, restarted by its policy with back-off, stopped with grace.
import { openSync, readSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import type { Agent } from './agent.ts';
import { rfc3339, sleep } from './clock.ts';
import type { NodeFacts } from './downward.ts';
import { ImageError } from './images.ts';
import type { Image } from './images.ts';
import { environment, messageFile, prepareCommand } from './launch.ts';
import { ContainerLog, logTail, removeLog } from './logs.ts';
import type { Container, ContainerState, Handler, Pod } from './objects.ts';
import { runProbes } from './probes.ts';
import { recordProcess } from './processes.ts';
import { execIn, startProcess } from './sandbox.ts';
import type { Running } from './sandbox.ts';
import type { ContainerRecord } from './status.ts';

export interface ContainerDeps {
  readonly agent: Agent;
  readonly pod: () => Pod;
  readonly facts: NodeFacts;
  readonly volumes: ReadonlyMap<string, string>;
  /** The pod's working directory and its log directory. */
  readonly directory: string;
  readonly logDirectory: string;
  readonly role: 'init' | 'sidecar' | 'main';
  readonly changed: () => void;
}

const STABLE_MS = 600_000;
const IMAGE_RETRY_MS = 1_000;
const CONFIG_RETRY_MS = 2_000;
const MESSAGE_BYTES = 4096;
const EXEC_LIMIT_MS = 60_000;
const START_ERROR_CODE = 128;


const readMessage = (file: string): string => {
  const buffer = Buffer.alloc(MESSAGE_BYTES);
  try {
    const fd = openSync(file, 'r');
    const length = readSync(fd, buffer, 0, MESSAGE_BYTES, 0);
    closeSync(fd);
    return buffer.subarray(0, length).toString('utf8');
  } catch {
    return '';
  }
};

interface Run { readonly startedAt: string; readonly restartCount: number; readonly containerID: string }
interface Prepared { readonly image: Image; readonly env: Record<string, string> }

/** Invariant: `record` is what the API server should be told, and a process runs exactly while `record.state` is running. */
export class ContainerRunner {
  record: ContainerRecord;
  log: ContainerLog | undefined;
  readonly container: Container;
  readonly #deps: ContainerDeps;
  readonly #stop = new AbortController();
  readonly #events: (type: 'Normal' | 'Warning', reason: string, message: string) => void;
  #process: Running | undefined;
  #env: Record<string, string> = {};
  #crashes = 0;
  #graceMs = 0;

  constructor(container: Container, record: ContainerRecord, deps: ContainerDeps) {
    this.container = container;
    this.record = record;
    this.#deps = deps;
    this.#events = (type, reason, message) => { deps.agent.events(deps.pod(), type, reason, message); };
  }

  /** Runs the container until it will not run again. */
  async run(): Promise<void> {
    if (this.record.state.terminated && !this.#restarts(this.record.state.terminated.exitCode)) return;
    while (!this.#stop.signal.aborted) {
      const prepared = await this.#prepare();
      if (!prepared || this.#stop.signal.aborted) return;
      const startedMs = Date.now();
      const exitCode = await this.#runOnce(prepared);
      if (!this.#restarts(exitCode)) return;
      this.#crashes = Date.now() - startedMs > STABLE_MS ? 0 : this.#crashes;
      await this.#backOff();
    }
  }

  /** Ends the container for good: preStop, SIGTERM, `graceMs`, SIGKILL. */
  async stop(graceMs: number): Promise<void> {
    this.#graceMs = graceMs;
    this.#stop.abort();
    await this.#kill(graceMs);
  }

  logPath(restart: number): string {
    return join(this.#deps.logDirectory, this.container.name, `${restart}.log`);
  }

  #restarts(exitCode: number): boolean {
    if (this.#stop.signal.aborted) return false;
    if (this.#deps.role === 'sidecar') return true;
    const policy = this.#deps.pod().spec.restartPolicy ?? 'Always';
    if (policy === 'Always' && this.#deps.role === 'main') return true;
    return policy !== 'Never' && exitCode !== 0;
  }

  #set(change: Partial<ContainerRecord>): void {
    this.record = { ...this.record, ...change };
    this.#deps.changed();
  }

  #waitFor(reason: string, message: string): void {
    const ended = this.record.state.terminated;
    const waiting = this.record.state.waiting;
    if (waiting?.reason === reason && waiting.message === message) return;
    this.#set({ state: { waiting: { reason, message } }, ready: false, started: false, ...(ended && { lastState: { terminated: ended } }) });
  }

  async #prepare(): Promise<Prepared | undefined> {
    for (let tries = 0; !this.#stop.signal.aborted; tries += 1) {
      try {
        const image = this.#deps.agent.image(this.container.image ?? '');
        const env = await environment(this.#launchInput(), image);
        return { image, env };
      } catch (error) {
        const { message } = error as Error;
        if (error instanceof ImageError) this.#imageMissing(message, tries);
        else this.#configMissing(message, tries);
        await sleep(error instanceof ImageError ? IMAGE_RETRY_MS : CONFIG_RETRY_MS, this.#stop.signal);
      }
    }
    return undefined;
  }

  #configMissing(message: string, tries: number): void {
    this.#waitFor('CreateContainerConfigError', message);
    if (tries === 0) this.#events('Warning', 'Failed', `Error: ${message}`);
  }

  #imageMissing(message: string, tries: number): void {
    const image = this.container.image ?? '';
    if (tries === 0) {
      this.#waitFor('ErrImagePull', message);
      this.#events('Warning', 'Failed', `Failed to pull image "${image}": ${message}`);
      return;
    }
    this.#waitFor('ImagePullBackOff', `Back-off pulling image "${image}": ${message}`);
    if (tries === 1) this.#events('Normal', 'BackOff', `Back-off pulling image "${image}"`);
  }

  #launchInput(): Parameters<typeof environment>[0] {
    const { agent, pod, facts, volumes, directory } = this.#deps;
    return { agent, pod: pod(), facts, volumes, container: this.container, directory: join(directory, this.container.name) };
  }

  async #runOnce({ image, env }: Prepared): Promise<number> {
    const now = this.#nextRun();
    const log = new ContainerLog(this.logPath(now.restartCount));
    this.log = log;
    this.#env = env;
    let exitCode = START_ERROR_CODE;
    let failure: string | undefined;
    try {
      const command = prepareCommand(this.#launchInput(), image, env);
      this.#process = await startProcess(command, (stream, chunk) => { log.write(stream, chunk); });
      exitCode = await this.#supervise(this.#process, now);
    } catch (error) {
      failure = `failed to start container "${this.container.name}": ${(error as Error).message}`;
      this.#events('Warning', 'Failed', `Error: ${failure}`);
    }
    this.#process = undefined;
    log.close();
    const { restartCount, containerID } = now;
    this.#set({ restartCount, containerID, state: { terminated: this.#terminated(exitCode, failure, now) }, ready: false, started: false });
    return exitCode;
  }

  /** Counts the run about to start and moves the one before into lastState. */
  #nextRun(): Run {
    const ended = this.record.state.terminated ?? this.record.lastState?.terminated;
    const restartCount = ended ? this.record.restartCount + 1 : this.record.restartCount;
    if (ended) this.record = { ...this.record, lastState: { terminated: ended } };
    removeLog(this.logPath(restartCount - 2));
    const { uid } = this.#deps.pod().metadata;
    return { restartCount, containerID: `host://${uid}-${this.container.name}-${restartCount}`, startedAt: rfc3339(new Date()) };
  }

  #terminated(exitCode: number, failure: string | undefined, { startedAt, containerID }: Run): NonNullable<ContainerState['terminated']> {
    const written = readMessage(messageFile(this.#launchInput().directory));
    const fallback = this.container.terminationMessagePolicy === 'FallbackToLogsOnError' && exitCode !== 0 && written === '';
    const message = failure ?? (fallback ? logTail(this.log?.path ?? '') : written);
    const reason = failure === undefined ? (exitCode === 0 ? 'Completed' : 'Error') : 'StartError';
    return { exitCode, reason, ...(message !== '' && { message }), startedAt, finishedAt: rfc3339(new Date()), containerID };
  }

  async #supervise(running: Running, now: Run): Promise<number> {
    const { startedAt, restartCount, containerID } = now;
    const forget = recordProcess(this.#deps.agent.dir, running.pid, containerID);
    const ended = new AbortController();
    this.#set({ state: { running: { startedAt } }, restartCount, containerID, ready: false, started: false });
    this.#events('Normal', 'Started', `Started container ${this.container.name}`);
    if (this.#stop.signal.aborted) void this.#kill(this.#graceMs);
    void this.#probe(running, ended.signal);
    const { postStart } = this.container.lifecycle ?? {};
    if (postStart) void this.#hook(postStart, running, ended.signal);
    const exitCode = await running.exit;
    ended.abort();
    forget();
    return exitCode;
  }

  async #probe(running: Running, signal: AbortSignal): Promise<void> {
    const exec = (argv: readonly string[], timeoutMs: number): Promise<number> => execIn(running.pid, argv, this.#env, timeoutMs);
    await runProbes({ container: this.container, podIP: this.#deps.facts.podIP, exec }, {
      started: () => { this.#set({ started: true }); },
      ready: (ready) => { if (ready !== this.record.ready) this.#set({ ready }); },
      failed: (kind, message) => { this.#events('Warning', 'Unhealthy', `${kind} probe failed: ${message}`); },
      unhealthy: (message) => {
        this.#events('Normal', 'Killing', `${message}, will be restarted`);
        void this.#kill((this.#deps.pod().spec.terminationGracePeriodSeconds ?? 30) * 1000);
      },
    }, signal);
  }

  async #kill(graceMs: number): Promise<void> {
    const running = this.#process;
    if (!running) return;
    const deadline = Date.now() + graceMs;
    const ended = new AbortController();
    void running.exit.then(() => { ended.abort(); });
    const { preStop } = this.container.lifecycle ?? {};
    if (preStop && graceMs > 0) await Promise.race([this.#hook(preStop, running, ended.signal), sleep(graceMs, ended.signal)]);
    if (graceMs > 0) running.signal('SIGTERM');
    await sleep(deadline - Date.now(), ended.signal);
    if (!ended.signal.aborted) running.signal('SIGKILL');
    await running.exit;
  }

  async #hook(handler: Handler, running: Running, signal: AbortSignal): Promise<void> {
    if (handler.sleep) await sleep(handler.sleep.seconds * 1000, signal);
    if (!handler.exec) return;
    const code = await execIn(running.pid, handler.exec.command ?? [], this.#env, EXEC_LIMIT_MS);
    if (code !== 0) this.#events('Warning', 'FailedLifecycleHook', `lifecycle hook of container ${this.container.name} exited with ${code}`);
  }

  async #backOff(): Promise<void> {
    const { baseMs, maxMs } = this.#deps.agent.backOff;
    const delay = this.#crashes === 0 ? 0 : Math.min(maxMs, baseMs * 2 ** (this.#crashes - 1));
    this.#crashes += 1;
    if (delay === 0) return;
    const { name, namespace, uid } = this.#deps.pod().metadata;
    const text = `restarting failed container=${this.container.name} pod=${name}_${namespace}(${uid})`;
    this.#waitFor('CrashLoopBackOff', `back-off ${Math.round(delay / 1000)}s ${text}`);
    this.#events('Warning', 'BackOff', `Back-off ${text}`);
    await sleep(delay, this.#stop.signal);
  }
}
