// What the supervisor was asked to run and what it runs now: two JSON files that `up`, `down` and `status` read.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { ComponentState } from './controlplane/supervised.ts';
import type { ClusterPaths } from './paths.ts';
import type { ProcessId } from './process.ts';

export interface NodeConfig {
  readonly name: string;
  /** Extended resources the node offers, for example {"nvidia.com/gpu": "8"}. */
  readonly resources: Readonly<Record<string, string>>;
  /** True for the one node whose agent provisions volumes of storage class `local`. */
  readonly provisioner: boolean;
}

export interface ClusterConfig {
  readonly nodes: readonly NodeConfig[];
  readonly audit: boolean;
  /** The cluster ends when this process does. */
  readonly owner: ProcessId | undefined;
}

export type Phase = 'starting' | 'running' | 'stopping' | 'failed';

export interface ClusterState {
  readonly supervisor: ProcessId;
  readonly phase: Phase;
  /** For people: what it waits for, or why it failed. */
  readonly message: string;
  readonly server: string;
  readonly processes: readonly ComponentState[];
}

const writeJson = (file: string, value: unknown): void => {
  writeFileSync(`${file}.new`, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
};

const readJson = <T>(file: string): T | undefined => {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`${file}: expected JSON, got: ${(error as Error).message}; "down" removes it`, { cause: error });
  }
};

export const readConfig = (paths: ClusterPaths): ClusterConfig | undefined => readJson<ClusterConfig>(paths.config);
export const writeConfig = (paths: ClusterPaths, config: ClusterConfig): void => writeJson(paths.config, config);
export const readState = (paths: ClusterPaths): ClusterState | undefined => readJson<ClusterState>(paths.state);
export const writeState = (paths: ClusterPaths, state: ClusterState): void => writeJson(paths.state, state);
