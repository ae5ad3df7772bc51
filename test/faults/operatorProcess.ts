// The operator as a process of its own, as users run it: it can be killed at any instruction, and started again by hand or at once.
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { localRoot, repositoryRoot } from '../../local/src/paths.ts';
import { spawnTied } from '../../local/src/process.ts';
import { CLOCK_FILE } from './clock.ts';

export interface OperatorOptions {
  readonly dir: string;
  readonly name: string;
  /** The proxy. */
  readonly server: string;
  readonly authority: string;
  readonly token: string;
  readonly namespace: string;
  /** Folder that holds operator/src; the repository unless told. */
  readonly source?: string | undefined;
  readonly args?: readonly string[];
  /** So far its clock is ahead; undefined when nobody meddles with it. */
  readonly clockMs?: number | undefined;
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly err?: { readonly message?: string; readonly type?: string; readonly stack?: string };
  readonly [field: string]: unknown;
}

/** How a process ended that nobody killed. */
export interface Death {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Holdings {
  readonly rssMiB: number;
  /** Open file descriptors. */
  readonly files: number;
}

// As the Deployment runs it: what a process holds is told with these.
const NODE_OPTIONS = ['--max-semi-space-size=4', '--heap-growing-percent=20'];

const base64 = (text: string): string => Buffer.from(text).toString('base64');

export class OperatorProcess {
  /** Ends that no plan asked for. */
  readonly deaths: Death[] = [];
  starts = 0;
  readonly #options: OperatorOptions;
  readonly #kubeconfig: string;
  readonly #logFile: string;
  readonly #tokenFile: string;
  readonly #clockFile: string;
  #child: ChildProcess | undefined;
  #isWanted = false;

  constructor(options: OperatorOptions) {
    this.#options = options;
    this.#kubeconfig = join(options.dir, `${options.name}.kubeconfig`);
    this.#logFile = join(options.dir, `${options.name}.log`);
    this.#tokenFile = join(options.dir, `${options.name}.token`);
    this.#clockFile = join(options.dir, `${options.name}.clock`);
    this.#writeKubeconfig();
    this.setToken(options.token);
    this.#setClock(options.clockMs ?? 0);
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get logFile(): string {
    return this.#logFile;
  }

  /** Removes what it was given and what it has written. */
  forget(): void {
    for (const file of [this.#logFile, this.#kubeconfig, this.#tokenFile, this.#clockFile]) rmSync(file, { force: true });
  }

  /** Replaces the token file whole, as the kubelet does. */
  setToken(token: string): void {
    writeFileSync(`${this.#tokenFile}.new`, token, { mode: 0o600 });
    renameSync(`${this.#tokenFile}.new`, this.#tokenFile);
  }

  /** The clock of the running process and of those to come jumps. */
  jump(ms: number): void {
    this.#setClock(Number(readFileSync(this.#clockFile, 'utf8')) + ms);
    this.signal('SIGUSR2');
  }

  #setClock(ms: number): void {
    writeFileSync(this.#clockFile, String(ms));
  }

  #writeKubeconfig(): void {
    const { server, authority } = this.#options;
    const cluster = { server, 'certificate-authority-data': base64(authority) };
    writeFileSync(this.#kubeconfig, stringify({
      'apiVersion': 'v1', 'kind': 'Config', 'current-context': 'plan', 'clusters': [{ name: 'plan', cluster }],
      'users': [{ name: 'plan', user: { tokenFile: this.#tokenFile } }], 'contexts': [{ name: 'plan', context: { cluster: 'plan', user: 'plan' } }],
    }, { lineWidth: 0 }), { mode: 0o600 });
  }

  /** What the running process holds; undefined when none runs. */
  holdings(): Holdings | undefined {
    const pid = this.#child?.pid;
    if (pid === undefined) return undefined;
    try {
      const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      return rss === undefined ? undefined : { rssMiB: Number(rss) / 1024, files: readdirSync(`/proc/${pid}/fd`).length };
    } catch {
      return undefined;
    }
  }

  start(): void {
    this.starts += 1;
    this.#isWanted = true;
    const main = join(this.#options.source ?? repositoryRoot, 'operator/src/main.ts');
    const { clockMs } = this.#options;
    const child = spawnTied({
      file: process.execPath,
      args: [...NODE_OPTIONS, ...(clockMs === undefined ? [] : ['--import', join(import.meta.dirname, 'clock.ts')]), main, '--namespace', this.#options.namespace, '--bind-address', '127.0.0.1', '--health-port', '0', '--metrics-port', '0', '--ingest-port', '0', '--ingest-address', 'none', '--workers', '2', ...(this.#options.args ?? [])],
      env: { KUBECONFIG: this.#kubeconfig, NODE_COMPILE_CACHE: join(localRoot, 'faults/compiled'), POD_NAME: 'polar-operator-0', MALLOC_ARENA_MAX: '1', ...(clockMs === undefined ? {} : { [CLOCK_FILE]: this.#clockFile }) },
      logFile: this.#logFile,
    });
    this.#child = child;
    child.once('exit', (code, signal) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (this.#isWanted) this.deaths.push({ code, signal });
    });
  }

  /** kill -9; returns when the process is gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** SIGTERM, as a Deployment does; returns the exit code. */
  async stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const child = this.#child;
    this.#isWanted = false;
    if (child === undefined) return null;
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    this.#child = undefined;
    child.kill(signal);
    const patience = setTimeout(() => child.kill('SIGKILL'), 15_000);
    const code = await ended;
    clearTimeout(patience);
    return code;
  }

  /** Everything it has written: its log, and lines that are no log. */
  log(): { readonly lines: readonly LogLine[]; readonly other: readonly string[] } {
    const text = existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : '';
    const lines: LogLine[] = [];
    const other: string[] = [];
    for (const line of text.split('\n').filter((one) => one.trim() !== '')) {
      const parsed = parseLine(line);
      if (parsed === undefined) other.push(line);
      else lines.push(parsed);
    }
    return { lines, other };
  }
}

function parseLine(line: string): LogLine | undefined {
  try {
    const parsed = JSON.parse(line) as LogLine;
    return typeof parsed.msg === 'string' ? parsed : undefined;
  } catch {
    // The last line of a killed process may be cut; anything else that is no JSON is told.
    return line.startsWith('{') ? { level: 'debug', msg: 'cut off' } : undefined;
  }
}
