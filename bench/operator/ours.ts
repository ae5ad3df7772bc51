// Our side: the operator as its manifest starts it, and the runs it is given.
import { join } from 'node:path';
import { tailOf } from '../../local/src/controlplane/start.ts';
import { freePorts } from '../../local/src/controlplane/ports.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { API_VERSION } from '../../operator/src/api/labels.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import { startMeasured, until } from './process.ts';
import type { Measured } from './process.ts';
import { parseSamples } from './scrape.ts';
import type { Samples } from './scrape.ts';
import { NAMESPACE } from './world.ts';
import type { World } from './world.ts';

export interface OurOperator extends Measured {
  readonly samples: () => Promise<Samples>;
  readonly isReady: () => Promise<boolean>;
  /** From its start to the first time it said it was ready. */
  readonly readySeconds: number;
}

export interface OurOptions {
  readonly nodeFlags?: readonly string[];
  readonly args?: readonly string[];
}

// As in local/manifests/operator.yaml.
export const NODE_FLAGS: readonly string[] = ['--max-semi-space-size=4', '--heap-growing-percent=20'];

/** Starts the operator with ingest and waits until it is ready. */
export const startOurs = async (world: World, options: OurOptions = {}): Promise<OurOperator> => {
  const [ingest = 0, metrics = 0, health = 0] = await freePorts(3);
  const ports = ['--ingest-port', String(ingest), '--ingest-address', `127.0.0.1:${ingest}`, '--metrics-port', String(metrics), '--health-port', String(health)];
  const started = Date.now();
  const logFile = world.logOf('operator');
  const measured = startMeasured('polar-operator', {
    file: process.execPath, args: [...(options.nodeFlags ?? NODE_FLAGS), join(repositoryRoot, 'operator/src/main.ts'), '--namespace', 'polar-system', '--log-level', 'warn', ...ports, ...(options.args ?? [])],
    env: { KUBECONFIG: world.kubeconfig, MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '131072', MALLOC_TRIM_THRESHOLD_: '131072' }, logFile,
  });
  const fetched = async (port: number, path: string): Promise<Response | undefined> => fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
  const isReady = async (): Promise<boolean> => (await fetched(health, '/readyz'))?.status === 200;
  await until(`the operator is ready (${logFile})`, async () => {
    if (!measured.isAlive()) throw new Error(`the operator ended:\n${tailOf(logFile)}`);
    return isReady();
  });
  return { ...measured, isReady, readySeconds: (Date.now() - started) / 1000, samples: async () => parseSamples((await (await fetched(metrics, '/metrics'))?.text()) ?? '') };
};

/** A run of one worker, as small as a manifest can be. */
export const ourRun = (name: string): KubeObject => ({
  apiVersion: API_VERSION, kind: 'PolarPretrain', metadata: { name, namespace: NAMESPACE },
  spec: {
    model: { size: '300K' }, data: { uri: 'pvc://data/pool', maxLength: 512, maxResponseLength: 128 }, budget: { steps: 10_000 },
    optimizer: { learningRate: '0.001', batchTriplets: 64 }, checkpoint: { store: { pvc: 'runs' } }, workers: { replicas: 1 },
  },
} as KubeObject);
