// One component kept running: started tied to this process, restarted with a growing delay when it dies.
import { existsSync, renameSync, statSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { endProcesses, identify, signalProcess, spawnTied } from '../process.ts';
import type { ProcessId, TiedCommand } from '../process.ts';

const firstDelayMs = 1_000;
const longestDelayMs = 30_000;
/** A component that ran this long starts its delays over. */
const settledMs = 60_000;
const largestLogBytes = 50 * 1024 * 1024;

export interface ComponentState {
  readonly name: string;
  readonly process: ProcessId | undefined;
  readonly startedAt: string;
  readonly restarts: number;
  readonly lastExit: string | undefined;
}

export interface SupervisedOptions {
  readonly name: string;
  readonly command: TiedCommand;
  readonly graceMs: number;
  /** False leaves a dead component dead. */
  readonly restart: boolean;
  /** Called when the component starts, and when it dies without having been stopped. */
  readonly onChange: (state: ComponentState, died: boolean) => void;
}

const exitText = (code: number | null, signal: NodeJS.Signals | null): string => (signal === null ? `exit code ${code}` : `signal ${signal}`);

const rotate = (logFile: string): void => {
  if (existsSync(logFile) && statSync(logFile).size > largestLogBytes) renameSync(logFile, `${logFile}.1`);
};

/** At most one process of the component lives at a time; after `stop` none ever starts again. */
export class SupervisedProcess {
  readonly #options: SupervisedOptions;
  #child: ChildProcess | undefined;
  #process: ProcessId | undefined;
  #startedAtMs = 0;
  #restarts = 0;
  #delayMs = firstDelayMs;
  #lastExit: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(options: SupervisedOptions) {
    this.#options = options;
    this.#start();
  }

  get state(): ComponentState {
    return {
      name: this.#options.name,
      process: this.#process,
      startedAt: new Date(this.#startedAtMs).toISOString(),
      restarts: this.#restarts,
      lastExit: this.#lastExit,
    };
  }

  /** Sends a signal; false when the component is not running. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#process !== undefined && signalProcess(this.#process, signal);
  }

  /** Ends the component for good: SIGTERM, then SIGKILL after its grace period. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    if (this.#process !== undefined) await endProcesses([this.#process], this.#options.graceMs);
    this.#process = undefined;
  }

  #start(): void {
    rotate(this.#options.command.logFile);
    const child = spawnTied(this.#options.command);
    this.#child = child;
    this.#startedAtMs = Date.now();
    this.#process = child.pid === undefined ? undefined : identify(child.pid);
    child.once('error', (error) => this.#died(child, error.message));
    child.once('exit', (code, signal) => this.#died(child, exitText(code, signal)));
    child.unref();
    this.#options.onChange(this.state, false);
  }

  #died(child: ChildProcess, how: string): void {
    if (this.#stopping || child !== this.#child) return;
    this.#child = undefined;
    this.#process = undefined;
    this.#lastExit = `${how} at ${new Date().toISOString()}`;
    if (Date.now() - this.#startedAtMs > settledMs) this.#delayMs = firstDelayMs;
    this.#options.onChange(this.state, true);
    if (!this.#options.restart) return;
    this.#timer = setTimeout(() => this.#restart(), this.#delayMs);
    this.#delayMs = Math.min(2 * this.#delayMs, longestDelayMs);
  }

  #restart(): void {
    this.#restarts += 1;
    this.#start();
  }
}
