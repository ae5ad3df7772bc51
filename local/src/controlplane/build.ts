// Builds one program of the pinned Go tools module into the cache folder, telling what it does while it does it.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from '../lock.ts';
import { binaryDirectory, repositoryRoot } from '../paths.ts';
import { announce } from '../progress.ts';

const toolsDirectory = join(repositoryRoot, 'local', 'tools');
const kubernetes = 'k8s.io/kubernetes/cmd';

export type ProgramName = 'etcd' | 'kube-apiserver' | 'kube-controller-manager' | 'kube-scheduler' | 'kubectl';

const programs: Readonly<Record<ProgramName, { package: string; takes: string }>> = {
  etcd: { package: 'go.etcd.io/etcd/server/v3', takes: 'about one minute once, then cached' },
  'kube-apiserver': { package: `${kubernetes}/kube-apiserver`, takes: 'about five minutes once, then cached' },
  'kube-controller-manager': { package: `${kubernetes}/kube-controller-manager`, takes: 'about two minutes once, then cached' },
  'kube-scheduler': { package: `${kubernetes}/kube-scheduler`, takes: 'about half a minute once, then cached' },
  kubectl: { package: `${kubernetes}/kubectl`, takes: 'about half a minute once, then cached' },
};

const kubernetesVersion = (): string => {
  const version = /^\tk8s\.io\/kubernetes v(\S+)/m.exec(readFileSync(join(toolsDirectory, 'go.mod'), 'utf8'))?.[1];
  if (version === undefined) throw new Error(`${join(toolsDirectory, 'go.mod')}: expected a line "k8s.io/kubernetes v<version>", found none`);
  return version;
};

const linkerFlags = (): string => {
  const version = kubernetesVersion();
  const [major, minor] = version.split('.');
  const name = 'k8s.io/component-base/version';
  return `-s -w -X ${name}.gitVersion=v${version} -X ${name}.gitMajor=${major} -X ${name}.gitMinor=${minor}`;
};

/** Changes with the pinned versions and the flags: what a cached program must have been built from. */
const fingerprint = (): string => {
  const hash = createHash('sha256').update(linkerFlags());
  for (const file of ['go.mod', 'go.sum']) hash.update(readFileSync(join(toolsDirectory, file)));
  return hash.digest('hex');
};

const stampFile = (name: ProgramName): string => join(binaryDirectory, '.built-from', name);

/** True when the cached program was built from the versions pinned now. */
export const isBuilt = (name: ProgramName): boolean =>
  existsSync(join(binaryDirectory, name)) && existsSync(stampFile(name)) && readFileSync(stampFile(name), 'utf8') === fingerprint();

const explain = (name: ProgramName, output: string): string => {
  const tail = output.trim().split('\n').slice(-15).join('\n');
  const offline = /dial tcp|no such host|lookup .* on|i\/o timeout|connection refused|TLS handshake/.test(output);
  if (/invalid go version|requires go|unknown directive/.test(output)) return `go build of ${name} failed:\n${tail}\nGo 1.21 or newer is needed; it fetches the exact release by itself.`;
  const hint = offline
    ? 'The Go modules could not be downloaded: connect once, set GOPROXY to a proxy you can reach, or set KUBEBUILDER_ASSETS to a folder with the programs.'
    : 'Its last lines are above. KUBEBUILDER_ASSETS may name a folder with ready programs instead.';
  return `go build of ${name} failed:\n${tail}\n${hint}`;
};

interface Outcome { readonly code: number | null; readonly output: string }

// Built at low priority and killed with this process, so that an aborted start leaves nothing running.
const runGo = (args: readonly string[]): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'nice', '-n', '5', 'go', ...args], {
      cwd: toolsDirectory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' },
    });
    let output = '';
    const collect = (chunk: Buffer): void => { output = (output + chunk.toString('utf8')).slice(-20_000); };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', (error) => reject(new Error(`setpriv (util-linux) could not be started: ${error.message}`)));
    child.on('close', (code) => resolve({ code, output }));
  });

const compile = async (name: ProgramName): Promise<void> => {
  const unfinished = join(binaryDirectory, `.${name}.${process.pid}`);
  const { package: path, takes } = programs[name];
  const done = announce(`building ${name} (${takes})`);
  try {
    const { code, output } = await runGo(['build', '-trimpath', '-ldflags', linkerFlags(), '-o', unfinished, path]);
    if (code === 127) throw new Error(`${name} has to be built once, and "go" was not found on PATH: install Go (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder with the program`);
    if (code !== 0) throw new Error(explain(name, output));
    renameSync(unfinished, join(binaryDirectory, name));
    mkdirSync(join(binaryDirectory, '.built-from'), { recursive: true });
    writeFileSync(stampFile(name), fingerprint());
  } finally {
    done();
    rmSync(unfinished, { force: true });
  }
};

/** Builds one program unless another process just did. Throws with the reason and what to do about it. */
export const buildProgram = async (name: ProgramName): Promise<void> => {
  mkdirSync(binaryDirectory, { recursive: true });
  await withLock(join(binaryDirectory, '.lock'), 'another build of the control plane', async () => {
    if (!isBuilt(name)) await compile(name);
  });
};
