// Programs of Go modules at an exact version, built from the module proxy into the cache folder, each from the module's own go.mod.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from './lock.ts';
import { binaryDirectory, localRoot } from './paths.ts';
import { announce } from './progress.ts';

export interface ModuleProgram {
  /** Name of the file that is built. */
  readonly name: string;
  readonly module: string;
  /** With its v. */
  readonly version: string;
  /** Package of the program below the module; '.' for its root. */
  readonly package: string;
  /** How long a first build takes, for people. */
  readonly takes: string;
}

interface Outcome { readonly code: number | null; readonly stdout: string; readonly stderr: string }

// At low priority and killed with this process, so that an aborted start leaves nothing running.
const runGo = (args: readonly string[], cwd: string): Promise<Outcome> =>
  new Promise((resolve, reject) => {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'nice', '-n', '5', 'go', ...args], {
      cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off', GOFLAGS: '' },
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => { stdout += chunk.toString('utf8'); });
    child.stderr.on('data', (chunk: Buffer) => { stderr = (stderr + chunk.toString('utf8')).slice(-20_000); });
    child.on('error', (error) => reject(new Error(`setpriv (util-linux) could not be started: ${error.message}`)));
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });

const required = async (what: string, outcome: Promise<Outcome>): Promise<string> => {
  const { code, stdout, stderr } = await outcome;
  if (code === 127) throw new Error(`${what}: "go" was not found on PATH: install Go (https://go.dev/dl)`);
  if (code !== 0) throw new Error(`${what} failed:\n${stderr.trim().split('\n').slice(-15).join('\n') || stdout.slice(-2000)}\nGOPROXY may name a module proxy you can reach.`);
  return stdout;
};

/** Folder with the sources of a module (read-only, in Go's module cache): manifests and CRDs lie there. Downloads it once. */
export const moduleDirectory = async ({ module, version }: Pick<ModuleProgram, 'module' | 'version'>): Promise<string> => {
  mkdirSync(localRoot, { recursive: true });
  const text = await required(`download of ${module}@${version}`, runGo(['mod', 'download', '-modcacherw', '-json', `${module}@${version}`], localRoot));
  return (JSON.parse(text) as { Dir: string }).Dir;
};

/** Path of the program; builds it first when it is missing, telling how long it takes. */
export const moduleProgram = async (program: ModuleProgram): Promise<string> => {
  const { name, version, takes } = program;
  const file = join(binaryDirectory, `${name}-${version}`);
  if (existsSync(file)) return file;
  mkdirSync(binaryDirectory, { recursive: true });
  await withLock(join(binaryDirectory, `.lock-${name}`), `another build of ${name}`, async () => {
    if (existsSync(file)) return;
    const unfinished = join(binaryDirectory, `.${name}.${process.pid}`);
    const done = announce(`building ${name} ${version} (${takes})`);
    try {
      const sources = await moduleDirectory(program);
      await required(`go build of ${name}`, runGo(['build', '-trimpath', '-ldflags', '-s -w', '-o', unfinished, program.package], sources));
      renameSync(unfinished, file);
    } finally {
      done();
      rmSync(unfinished, { force: true });
    }
  });
  return file;
};
