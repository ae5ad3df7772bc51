// kubectl as a person would use it: everything the demo does to the cluster goes through here.
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

export interface Kubectl {
  /** Runs kubectl and returns stdout; rejects with what kubectl wrote to stderr. */
  run(args: readonly string[], input?: string): Promise<string>;
  /** Reads one object as JSON; undefined when it does not exist. */
  get<T>(kind: string, name: string): Promise<T | undefined>;
}

/** kubectl at `binary`, speaking to the cluster of `kubeconfig`, in `namespace`. */
export function kubectlFor(binary: string, kubeconfig: string, namespace: string): Kubectl {
  const env = { ...process.env, KUBECONFIG: kubeconfig };
  const run = (args: readonly string[], input?: string): Promise<string> => new Promise((resolve, reject) => {
    const child: ChildProcess = execFile(binary, ['-n', namespace, ...args], { env, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`kubectl ${args.join(' ')}: ${stderr.trim() || error.message}`));
    });
    child.stdin?.end(input ?? '');
  });
  const get = async <T>(kind: string, name: string): Promise<T | undefined> => {
    const text = await run(['get', kind, name, '-o', 'json', '--ignore-not-found']);
    return text.trim() === '' ? undefined : (JSON.parse(text) as T);
  };
  return { run, get };
}

/** Runs a program of this project in the foreground, its output shown; rejects when it fails. */
export function foreground(command: readonly string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0] ?? '', command.slice(1), { cwd, stdio: 'inherit' });
    child.on('error', reject);
    child.on('close', (code) => { if (code === 0) resolve(); else reject(new Error(`${command.join(' ')} ended with exit code ${String(code)}`)); });
  });
}
