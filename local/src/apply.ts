// Applies YAML files server-side with kubectl, which knows discovery and order.
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { locateBinaries } from './controlplane/binaries.ts';

const establishedSeconds = 60;

/** Runs kubectl and returns its output. Throws with what it wrote to stderr. */
export const kubectl = async (kubeconfig: string, args: readonly string[]): Promise<string> => {
  const file = (await locateBinaries(['kubectl'])).get('kubectl') ?? 'kubectl';
  const cache = join(dirname(kubeconfig), 'kubectl-cache');
  return new Promise((resolve, reject) => {
    execFile(file, ['--kubeconfig', kubeconfig, '--cache-dir', cache, ...args], { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`kubectl ${args.join(' ')}: ${stderr.trim() || error.message}`));
    });
  });
};

/** kubectl gives up at once on a CRD that has no conditions at all yet, which a busy API server shows for a moment. */
const untilEstablished = async (kubeconfig: string): Promise<void> => {
  const deadline = Date.now() + establishedSeconds * 1000;
  for (;;) {
    try {
      await kubectl(kubeconfig, ['wait', 'crd', '--all', '--for=condition=Established', `--timeout=${establishedSeconds}s`]);
      return;
    } catch (error) {
      if (Date.now() > deadline || !String(error).includes('conditions accessor error')) throw error;
      await sleep(100);
    }
  }
};

const yamlFiles = (path: string): string[] => {
  if (!existsSync(path)) return [];
  if (!/\.ya?ml$/.test(path)) return readdirSync(path).filter((name) => /\.ya?ml$/.test(name)).sort().map((name) => join(path, name));
  return [path];
};

/**
 * Applies files, and the YAML files of folders in the order of their names, then waits until every CRD is served.
 * Returns the lines kubectl printed. A missing path is no error: it returns nothing for it.
 */
export const applyFiles = async (kubeconfig: string, paths: readonly string[]): Promise<string[]> => {
  const files = paths.flatMap(yamlFiles);
  if (files.length === 0) return [];
  const arguments_ = files.flatMap((file) => ['-f', file]);
  const output = await kubectl(kubeconfig, ['apply', '--server-side', '--force-conflicts', '--field-manager=polar-local', ...arguments_]);
  if (output.includes('customresourcedefinition')) await untilEstablished(kubeconfig);
  return output.trim().split('\n');
};
