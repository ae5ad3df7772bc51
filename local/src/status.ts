// What runs of the embedded cluster, as a table.
import { readFileSync } from 'node:fs';
import { clientFrom, getJson } from './controlplane/apirequest.ts';
import type { ComponentState } from './controlplane/supervised.ts';
import { clusterPaths } from './paths.ts';
import { isAlive } from './process.ts';
import { readState } from './state.ts';

interface NodeObject { readonly metadata: { readonly name: string }; readonly status?: { readonly conditions?: readonly { type: string; status: string }[] } }

/** Resident memory of a process in MiB. */
const residentMiB = (pid: number): number => {
  const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kib ?? 0) / 1024);
};

const age = (startedAt: string): string => {
  const seconds = Math.round((Date.now() - Date.parse(startedAt)) / 1000);
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
};

const row = ({ name, process: id, startedAt, restarts, lastExit }: ComponentState): string[] => {
  const live = id !== undefined && isAlive(id);
  const numbers = live ? [String(id.pid), age(startedAt), String(residentMiB(id.pid))] : ['-', 'not running', '-'];
  return [name, ...numbers, String(restarts), lastExit ?? ''];
};

const table = (rows: readonly (readonly string[])[]): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((cells) => (cells[column] ?? '').length)));
  return rows.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n');
};

const nodeLines = async (kubeconfig: string): Promise<string[]> => {
  const list = await getJson<{ items: NodeObject[] }>(clientFrom(kubeconfig), '/api/v1/nodes');
  return (list?.items ?? []).map((node) => {
    const ready = node.status?.conditions?.find((one) => one.type === 'Ready')?.status === 'True';
    return `node ${node.metadata.name}: ${ready ? 'Ready' : 'not Ready'}`;
  });
};

export interface StatusReport { readonly up: boolean; readonly text: string }

/** Describes the cluster in `dir`; `up` is true when its supervisor runs and every component is alive. */
export const status = async (dir: string): Promise<StatusReport> => {
  const paths = clusterPaths(dir);
  const state = readState(paths);
  if (state === undefined) return { up: false, text: `no cluster in ${paths.dir}` };
  const supervised = isAlive(state.supervisor);
  const rows = [['COMPONENT', 'PID', 'UP', 'RSS-MIB', 'RESTARTS', 'LAST-EXIT'], ...state.processes.map(row)];
  const head = supervised ? `${state.phase}: ${state.message} (supervisor ${state.supervisor.pid}, ${state.server})` : `the supervisor (process ${state.supervisor.pid}) is gone; "up" starts the cluster again with its data`;
  const nodes = supervised && state.phase === 'running' ? await nodeLines(paths.kubeconfig).catch((error: Error) => [`the API server does not answer: ${error.message}`]) : [];
  const complete = supervised && state.phase === 'running' && state.processes.every(({ process: id }) => id !== undefined && isAlive(id));
  return { up: complete, text: [head, table(rows), ...nodes].join('\n') };
};
