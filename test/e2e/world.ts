// One embedded cluster for the whole suite, in a folder of its own, and a fresh namespace in it.
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kubectl } from '../../local/src/apply.ts';
import { binaryDirectory, clusterPaths, localRoot, repositoryRoot } from '../../local/src/paths.ts';
import { identify } from '../../local/src/process.ts';
import { conditionOf, isTrue, summaryOf } from './objects.ts';
import type { ConditionName, Job, Pod, Run, Sweep } from './objects.ts';
import { Watch } from './watch.ts';

const root = join(localRoot, 'test-e2e');
const startedMs = Date.now();

/** A line of the suite's log with the seconds since its start. */
export const say = (line: string): void => {
  process.stderr.write(`[${((Date.now() - startedMs) / 1000).toFixed(1).padStart(6)} s] ${line}\n`);
};

const cli = (args: readonly string[]): Promise<void> => new Promise((resolve, reject) => {
  const child = spawn(process.execPath, [join(repositoryRoot, 'local/src/cli.ts'), ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  child.on('error', reject);
  child.on('close', (code) => { if (code === 0) resolve(); else reject(new Error(`local/src/cli.ts ${args.join(' ')} ended with exit code ${String(code)}`)); });
});

/** Takes down clusters whose test process was killed before it could. */
const removeAbandoned = async (): Promise<void> => {
  mkdirSync(root, { recursive: true });
  for (const name of readdirSync(root)) {
    const pid = /^cluster-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && identify(Number(pid)) === undefined) await cli(['down', '--dir', join(root, name)]);
  }
};

export class World {
  readonly dir: string;
  readonly namespace: string;
  readonly runs: Readonly<Record<'PolarPretrain' | 'PolarFinetune', Watch<Run>>>;
  readonly sweeps: Watch<Sweep>;
  readonly jobs: Watch<Job>;
  readonly pods: Watch<Pod>;
  readonly #kubeconfig: string;
  #applied = 0;
  readonly #waiting = new Set<() => void>();

  constructor(dir: string, namespace: string) {
    this.dir = dir;
    this.namespace = namespace;
    this.#kubeconfig = clusterPaths(dir).kubeconfig;
    const watch = (resource: string): readonly string[] =>
      [join(process.env['KUBEBUILDER_ASSETS'] ?? binaryDirectory, 'kubectl'), '--kubeconfig', this.#kubeconfig, '-n', namespace, 'get', resource, '--watch', '--output-watch-events', '-o', 'json'];
    const changed = (): void => { this.#waiting.forEach((wake) => { wake(); }); };
    this.runs = { PolarPretrain: new Watch(watch('polarpretrains'), changed), PolarFinetune: new Watch(watch('polarfinetunes'), changed) };
    this.sweeps = new Watch(watch('polarsweeps'), changed);
    this.jobs = new Watch(watch('jobs'), changed);
    this.pods = new Watch(watch('pods'), changed);
  }

  /** kubectl in the suite's namespace. */
  kubectl(...args: string[]): Promise<string> {
    return kubectl(this.#kubeconfig, ['-n', this.namespace, ...args]);
  }

  async get<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl('get', ...args, '-o', 'json')) as T;
  }

  async apply(...objects: object[]): Promise<void> {
    for (const object of objects) {
      const file = join(this.dir, `applied-${this.#applied += 1}.json`);
      writeFileSync(file, JSON.stringify(object));
      await this.kubectl('apply', '-f', file);
    }
  }

  run(name: string): Run | undefined {
    return this.runs.PolarPretrain.now.get(name) ?? this.runs.PolarFinetune.now.get(name);
  }

  /** Waits until `check` returns something, looking again whenever an object changes; `now` tells what is the case when it does not. */
  async until<T>(what: string, timeoutSeconds: number, check: () => T | undefined, now: () => string = () => 'not so'): Promise<T> {
    const from = Date.now();
    for (;;) {
      const found = check();
      if (found !== undefined) {
        say(`${what}: after ${((Date.now() - from) / 1000).toFixed(1)} s`);
        return found;
      }
      const leftMs = from + timeoutSeconds * 1000 - Date.now();
      if (leftMs <= 0) throw new Error(`${what}: not within ${timeoutSeconds} s; now: ${now()}`);
      await this.#change(Math.min(leftMs, 500));
    }
  }

  /** Waits until a run's condition has the wanted status (and reason, when given); fails at once when the run has failed and that was not wanted. */
  async untilCondition(name: string, type: ConditionName, wanted: { status?: string; reason?: string; timeoutSeconds: number }): Promise<Run> {
    const { status = 'True', reason } = wanted;
    return this.until(`${name} is ${type}=${status}${reason === undefined ? '' : ` ${reason}`}`, wanted.timeoutSeconds, () => {
      const run = this.run(name);
      const condition = conditionOf(run, type);
      if (condition?.status === status && (reason === undefined || condition.reason === reason)) return run;
      if (type !== 'Failed' && isTrue(run, 'Failed')) throw new Error(`${name} has failed while waiting for ${type}=${status}:\n${summaryOf(run)}`);
      return undefined;
    }, () => summaryOf(this.run(name)));
  }

  untilComplete(name: string, timeoutSeconds = 120): Promise<Run> {
    return this.untilCondition(name, 'Complete', { timeoutSeconds });
  }

  /** Waits until the trainer's step is in status. */
  untilStep(name: string, step: number, timeoutSeconds = 90): Promise<Run> {
    return this.until(`${name} has trained ${step} steps`, timeoutSeconds, () => {
      const run = this.run(name);
      if (isTrue(run, 'Complete') || isTrue(run, 'Failed')) throw new Error(`${name} has ended before it was seen at step ${step}:\n${summaryOf(run)}`);
      const { stage, step: at = 0 } = run?.status?.progress ?? {};
      return stage === 'Training' && at >= step ? run : undefined;
    }, () => summaryOf(this.run(name)));
  }

  close(): void {
    [this.runs.PolarPretrain, this.runs.PolarFinetune, this.sweeps, this.jobs, this.pods].forEach((watch) => { watch.close(); });
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(wake, timeoutMs);
      this.#waiting.add(wake);
    });
  }
}

/** With POLAR_E2E_DIR set, the cluster in that folder is started if need be and left running: for working on the suite. */
export const startWorld = async (): Promise<World> => {
  await removeAbandoned();
  const kept = process.env['POLAR_E2E_DIR'];
  const dir = kept ?? join(root, `cluster-${process.pid}`);
  await cli(['up', '--dir', dir, ...(kept === undefined ? ['--owner', String(process.pid)] : [])]);
  const namespace = `e2e-${Date.now().toString(36)}`;
  await kubectl(clusterPaths(dir).kubeconfig, ['create', 'namespace', namespace]);
  return new World(dir, namespace);
};

export const stopWorld = async (world: World): Promise<void> => {
  world.close();
  if (process.env['POLAR_E2E_DIR'] === undefined) await cli(['down', '--dir', world.dir]);
  else await world.kubectl('delete', 'namespace', world.namespace, '--wait=false');
};
