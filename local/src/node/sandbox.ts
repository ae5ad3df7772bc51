// Runs one container's process in its own mount, pid, ipc and uts namespaces. The process tree is
//   agent -> unshare (dies with the agent) -> sandbox-init.sh (pid 1 inside, dies with unshare) -> the user's command
// and killing pid 1 ends everything inside, so no process outlives its container or the agent. This isolates nothing:
// same user, same network, the host's files.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';

export interface Command {
  readonly root: string;
  readonly hostname: string;
  readonly workingDir: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface Running {
  /** Host pid of the container's init. */
  readonly pid: number;
  /** Exit code as a shell reports it: 128 + signal number for a killed process. */
  readonly exit: Promise<number>;
  signal(name: 'SIGTERM' | 'SIGKILL'): void;
}

export type Output = (stream: 'stdout' | 'stderr', chunk: Buffer) => void;

/** The command cannot be run at all; the message says why, as a container runtime would. */
export class StartError extends Error {}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGPIPE: 13, SIGTERM: 15 };
const KILL = 9;
const INIT = new URL('sandbox-init.sh', import.meta.url).pathname;

/** Where a system tool lies; looked up by the agent's PATH, since a container may set its own. */
export const toolPath = (name: string): string =>
  [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin'].map((dir) => join(dir, name)).find((file) => existsSync(file)) ?? name;

const childOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0] ?? 0);

const exitOf = (child: ChildProcess): Promise<number> => new Promise((resolve) => {
  child.once('error', () => { resolve(128); });
  child.once('close', (code, signal) => { resolve(code ?? 128 + (SIGNAL_NUMBERS[signal ?? ''] ?? KILL)); });
});

const kill = (pid: number, name: 'SIGTERM' | 'SIGKILL'): void => {
  try {
    process.kill(pid, name);
  } catch {
    // already gone
  }
};

interface InitReport { readonly started: Promise<boolean>; readonly text: () => string }

/** What the init says on its own channel. */
const listen = (status: Readable): InitReport => {
  let said = '';
  const started = new Promise<boolean>((resolve) => {
    status.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (/^started$/m.test(said)) resolve(true);
    });
    status.once('close', () => { resolve(false); });
  });
  return { started, text: () => said };
};

const spawnInit = (command: Command): ChildProcess => {
  const namespaces = ['--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child=SIGKILL'];
  const argv = ['--pdeathsig', 'KILL', toolPath('unshare'), ...namespaces, toolPath('bash'), '-p', INIT, command.root, command.hostname, command.workingDir, ...command.argv];
  // detached: Ctrl-C at the agent's terminal is for the agent, which then stops its pods in order
  return spawn(toolPath('setpriv'), argv, { env: { ...command.env }, stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe'], detached: true });
};

/** Starts `command` in a root made by buildRoot. Throws StartError when it cannot be run. */
export const startProcess = async (command: Command, output: Output): Promise<Running> => {
  const child = spawnInit(command);
  const ended = exitOf(child);
  if (child.pid === undefined) throw new StartError('setpriv and unshare (util-linux) are needed to run containers and were not found');
  const init = listen(child.stdio[3] as Readable);
  let complaints = '';
  child.stderr?.on('data', (chunk: Buffer) => { complaints += chunk.toString(); });
  child.stdout?.on('data', (chunk: Buffer) => { output('stdout', chunk); });
  (child.stdio[4] as Readable).on('data', (chunk: Buffer) => { output('stderr', chunk); });
  if (!await init.started) {
    await ended;
    throw new StartError((init.text() + complaints).trim() || 'the container ended before its command started');
  }
  const pid = childOf(child.pid);
  // an init that could not say its exit code was killed, and everything inside with it
  const exit = ended.then(() => Number(/^exit (\d+)$/m.exec(init.text())?.[1] ?? 128 + KILL));
  return { pid, exit, signal: (name) => { kill(pid, name); } };
};

/** Runs `argv` inside the container whose init is `pid`; resolves with its exit code, 124 when it ran past `timeoutMs`. */
export const execIn = (pid: number, argv: readonly string[], env: Readonly<Record<string, string>>, timeoutMs: number): Promise<number> => {
  const inside = ['--target', String(pid), '--mount', '--uts', '--pid', '--root', '--wd', '--', ...argv];
  const child = spawn(toolPath('setpriv'), ['--pdeathsig', 'KILL', toolPath('nsenter'), ...inside], { env: { ...env }, stdio: 'ignore', detached: true });
  const late = new Promise<number>((resolve) => {
    const timer = setTimeout(() => { child.kill('SIGKILL'); resolve(124); }, timeoutMs);
    child.once('close', () => { clearTimeout(timer); });
  });
  return Promise.race([exitOf(child), late]);
};
