// What ingest meets in a cluster, for its tests: runs, Jobs, pods with real bound tokens, and a trainer's end of the stream.
import { create } from '@bufbuild/protobuf';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { Metadata, credentials, makeGenericClientConstructor, status } from '@grpc/grpc-js';
import type { ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import { KubeConfig } from '@kubernetes/client-node';
import { join } from 'node:path';
import { Registry } from 'prom-client';
import { API_VERSION, LABEL_ATTEMPT, LABEL_COMPLETION_INDEX, LABEL_KIND, LABEL_RUN_UID, MANAGER_OPERATOR, TOKEN_AUDIENCE } from '../../operator/src/api/labels.ts';
import type { RunStatus } from '../../operator/src/api/status.ts';
import { ReportRequestSchema } from '../../operator/src/gen/telemetry_pb.js';
import type { ReportRequest, ReportResponse } from '../../operator/src/gen/telemetry_pb.js';
import { startIngest } from '../../operator/src/ingest/server.ts';
import type { Ingest, IngestConfig } from '../../operator/src/ingest/server.ts';
import { telemetryService } from '../../operator/src/ingest/service.ts';
import type { Pod } from '../../operator/src/ingest/chain.ts';
import type { Run } from '../../operator/src/ingest/runs.ts';
import { clientFor } from '../../operator/src/runtime/client.ts';
import type { KubeClient } from '../../operator/src/runtime/client.ts';
import { waitForCaches } from '../../operator/src/runtime/controller.ts';
import type { Log } from '../../operator/src/runtime/log.ts';
import { pathOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject, Resource } from '../../operator/src/runtime/object.ts';
import { Reflector } from '../../operator/src/runtime/reflector.ts';
import { applyStatus, create as post, remove } from '../../operator/src/runtime/verbs.ts';
import { applyFiles } from '../../local/src/apply.ts';
import { repositoryRoot } from '../../local/src/paths.ts';
import { GOOD_PRETRAIN } from './badManifests.ts';
import { startCluster } from './cluster.ts';
import type { TestCluster } from './cluster.ts';
import { eventually, within } from './ingestWait.ts';

const resource = (apiVersion: string, kind: string, plural: string): Resource => ({ apiVersion, kind, plural, namespaced: true });
export const PRETRAINS = resource(API_VERSION, 'PolarPretrain', 'polarpretrains');
export const FINETUNES = resource(API_VERSION, 'PolarFinetune', 'polarfinetunes');
export const JOBS = resource('batch/v1', 'Job', 'jobs');
export const PODS = resource('v1', 'Pod', 'pods');
export const SERVICE_ACCOUNTS = resource('v1', 'ServiceAccount', 'serviceaccounts');

type Stored = KubeObject & { readonly metadata: { readonly uid: string; readonly resourceVersion: string } };
export type StoredRun = Stored & { readonly status?: RunStatus };

const quiet = (): undefined => undefined;
const silent: Log = { debug: quiet, info: quiet, warn: quiet, error: quiet, child: () => silent };

export interface SetUp {
  readonly cluster: TestCluster;
  /** Talks to the API server as an administrator. */
  readonly world: World;
  /** Talks to it as the operator. */
  readonly operator: KubeClient;
  /** Ends everything, also what failed tests left open. */
  readonly tearDown: () => Promise<void>;
}

/** What closes things that tests may leave open when they fail. */
export const open = new Set<() => void | Promise<void>>();

/** An API server with the definitions, the operator's permissions and an empty namespace. */
export async function setUp(): Promise<SetUp> {
  const cluster = await startCluster({ crds: true });
  const admin = await clientFor(cluster.adminConfig);
  await applyFiles(cluster.kubeconfigPath, [join(repositoryRoot, 'local/manifests/operator.yaml')]);
  const operator = await operatorClient(cluster, admin);
  const world = new World(admin, await cluster.namespace('ingest'));
  await post(admin, SERVICE_ACCOUNTS, { metadata: { name: 'default', namespace: world.namespace } });
  const tearDown = async (): Promise<void> => {
    await Promise.all([...open].map(async (close) => close()));
    await Promise.all([admin.close(), operator.close()]);
    await cluster.stop();
  };
  return { cluster, world, operator, tearDown };
}

export const point = (step: number): object => ({ step: BigInt(step), tokens: BigInt(step * 100), trainLoss: 1 / step });

/** Message number `seq` of attempt 1, with a point at that step. */
export const report = (run: StoredRun, seq: number, fields: object = {}): object =>
  ({ runUid: run.metadata.uid, attempt: 1, seq: BigInt(seq), points: [point(seq)], progress: { stage: 'Training', step: BigInt(seq) }, ...fields });

/** A client that may do what the operator may do, and no more: the service account of the operator's manifest. */
async function operatorClient(cluster: TestCluster, admin: KubeClient): Promise<KubeClient> {
  const path = pathOf(SERVICE_ACCOUNTS, { namespace: 'polar-system', name: 'polar-operator', subresource: 'token' });
  const { status: { token } } = await admin.request<{ status: { token: string } }>('POST', path, { body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } } });
  const config = new KubeConfig();
  config.loadFromClusterAndUser(cluster.adminConfig.getCurrentCluster() as NonNullable<ReturnType<KubeConfig['getCurrentCluster']>>, { name: 'polar-operator', token });
  return clientFor(config);
}

/** A replica of the operator's ingest with caches of its own. */
export interface Replica extends Ingest {
  readonly registry: Registry;
  /** Value of a counter or gauge; 0 when it was never set. */
  metric(name: string, labels?: Record<string, string>): Promise<number>;
}

export async function aReplica(client: KubeClient, config: Partial<IngestConfig> = {}): Promise<Replica> {
  const stop = new AbortController();
  const reflect = <T extends KubeObject>(of: Resource): Reflector<T> => {
    const reflector = new Reflector<T>({ client, resource: of, log: silent });
    void reflector.run(stop.signal);
    return reflector;
  };
  const [pretrains, finetunes, pods] = [reflect<Run>(PRETRAINS), reflect<Run>(FINETUNES), reflect<Pod>(PODS)];
  await waitForCaches([pretrains, finetunes, pods], 20_000, stop.signal);
  const registry = new Registry();
  const ingest = await startIngest({
    client, pods, log: silent, registry, config: { host: '127.0.0.1', port: 0, namespace: 'polar-system', ...config, limits: { minWriteIntervalMs: 50, ...config.limits } },
    runs: [pretrains, finetunes],
  });
  const close = async (): Promise<void> => {
    open.delete(close);
    stop.abort();
    await ingest.close();
  };
  open.add(close);
  return {
    port: ingest.port, registry, close,
    get caPem() {
      return ingest.caPem;
    },
    metric: async (name, labels = {}) => {
      const values = (await registry.getSingleMetric(name)?.get())?.values ?? [];
      return values.filter((value) => Object.entries(labels).every(([key, want]) => value.labels[key] === want)).reduce((sum, { value }) => sum + value, 0);
    },
  };
}

/** Makes the objects of a namespace the way users, the operator and the Job controller would. */
export class World {
  readonly client: KubeClient;
  readonly namespace: string;

  constructor(client: KubeClient, namespace: string) {
    this.client = client;
    this.namespace = namespace;
  }

  /** The same cluster, another namespace. */
  async elsewhere(namespace: string): Promise<World> {
    await post(this.client, SERVICE_ACCOUNTS, { metadata: { name: 'default', namespace } });
    return new World(this.client, namespace);
  }

  /** A run at attempt 1. */
  async run(name: string): Promise<StoredRun> {
    await this.client.request('POST', pathOf(PRETRAINS, this), { body: { ...GOOD_PRETRAIN, metadata: { name, namespace: this.namespace } } });
    return this.operatorStatus(name, { attempt: 1, checkpointDirectoryUri: `pvc://runs/${this.namespace}/${name}` });
  }

  /** Writes a status as the reconciling half of the operator does. */
  operatorStatus(name: string, runStatus: RunStatus): Promise<StoredRun> {
    const body = { apiVersion: API_VERSION, kind: 'PolarPretrain', metadata: { name, namespace: this.namespace }, status: runStatus };
    return applyStatus<StoredRun>(this.client, PRETRAINS, body as StoredRun, { fieldManager: MANAGER_OPERATOR });
  }

  read(name: string): Promise<StoredRun> {
    return this.client.request('GET', pathOf(PRETRAINS, { namespace: this.namespace, name }));
  }

  job(run: StoredRun, attempt: number | string = 1, owner: object = { apiVersion: API_VERSION, kind: 'PolarPretrain', name: run.metadata.name, uid: run.metadata.uid, controller: true }, name = `${run.metadata.name}-${attempt}`): Promise<Stored> {
    const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'trainer', image: 'none' }] } };
    const labels = { [LABEL_KIND]: 'PolarPretrain', [LABEL_RUN_UID]: run.metadata.uid, [LABEL_ATTEMPT]: String(attempt) };
    const body = { ...this.#object(JOBS, name), spec: { template } };
    return post(this.client, JOBS, { ...body, metadata: { ...body.metadata, labels, ownerReferences: [owner] } } as unknown as Stored);
  }

  /** As the operator does when the run is suspended; without a garbage collector its pods stay. */
  deleteJob({ metadata: { namespace, name, uid } }: Stored): Promise<void> {
    return remove(this.client, JOBS, { namespace, name, uid });
  }

  /** A pod of a Job, or of nothing. */
  pod(name: string, job: Stored | undefined, index = 0, owners?: readonly object[]): Promise<Stored> {
    const ownerReferences = owners ?? (job === undefined ? [] : [{ apiVersion: 'batch/v1', kind: 'Job', name: job.metadata.name, uid: job.metadata.uid, controller: true }]);
    const labels = { ...job?.metadata.labels, [LABEL_COMPLETION_INDEX]: String(index) };
    const spec = { serviceAccountName: 'default', automountServiceAccountToken: false, containers: [{ name: 'trainer', image: 'none' }] };
    const body = { ...this.#object(PODS, name), spec };
    return post(this.client, PODS, { ...body, metadata: { ...body.metadata, labels, ownerReferences } } as unknown as Stored);
  }

  /** A token of the default service account, bound to a pod as the kubelet asks for it, or to nothing. */
  async token(pod: Stored | undefined, audience = TOKEN_AUDIENCE, seconds = 600): Promise<string> {
    const boundObjectRef = pod === undefined ? undefined : { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: pod.metadata.uid };
    const answer = await this.client.request<{ status: { token: string } }>('POST', pathOf(SERVICE_ACCOUNTS, { namespace: this.namespace, name: 'default', subresource: 'token' }), {
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences: [audience], expirationSeconds: seconds, boundObjectRef } },
    });
    return answer.status.token;
  }

  /** What a kubelet writes when the trainer's container has ended. */
  async endPod(pod: Stored, message: string, exitCode = 0): Promise<void> {
    const terminated = { exitCode, reason: exitCode === 0 ? 'Completed' : 'Error', message };
    const containerStatuses = [{ name: 'trainer', image: 'none', imageID: '', ready: false, restartCount: 0, state: { terminated } }];
    await this.client.request('PATCH', pathOf(PODS, { namespace: this.namespace, name: pod.metadata.name, subresource: 'status' }), {
      contentType: 'application/merge-patch+json', body: { status: { phase: exitCode === 0 ? 'Succeeded' : 'Failed', containerStatuses } },
    });
  }

  /** A run with its Job, its worker 0 and that pod's token. */
  async training(name: string, tokenSeconds = 600): Promise<{ run: StoredRun; job: Stored; pod: Stored; token: string }> {
    const run = await this.run(name);
    const job = await this.job(run);
    const pod = await this.pod(`${name}-1-0`, job);
    return { run, job, pod, token: await this.token(pod, TOKEN_AUDIENCE, tokenSeconds) };
  }

  #object(of: Resource, name: string): KubeObject {
    return { apiVersion: of.apiVersion, kind: of.kind, metadata: { name, namespace: this.namespace } };
  }
}

const TelemetryClient = makeGenericClientConstructor(telemetryService, 'Telemetry');

export interface Target {
  readonly port: number;
  readonly caPem: string;
}

/** A trainer's end of a stream. */
export class Trainer {
  readonly responses: ReportResponse[] = [];
  /** The status the server ended the stream with. */
  readonly ended: Promise<StatusObject>;
  readonly #stream: ClientDuplexStream<ReportRequest, ReportResponse>;
  readonly #close: () => void;

  constructor(ingest: Target, authorization: string | undefined) {
    const client = new TelemetryClient(`localhost:${ingest.port}`, credentials.createSsl(Buffer.from(ingest.caPem)));
    const metadata = new Metadata();
    if (authorization !== undefined) metadata.set('authorization', authorization);
    const report = client['report'] as unknown as (metadata: Metadata) => ClientDuplexStream<ReportRequest, ReportResponse>;
    this.#stream = report.call(client, metadata);
    this.#stream.on('data', (response: ReportResponse) => this.responses.push(response));
    this.ended = new Promise((resolve) => {
      this.#stream.on('status', resolve);
      this.#stream.on('error', () => undefined);
    });
    this.#close = () => {
      open.delete(this.#close);
      client.close();
    };
    open.add(this.#close);
  }

  send(fields: MessageInitShape<typeof ReportRequestSchema>): void {
    this.#stream.write(create(ReportRequestSchema, fields));
  }

  /** The newest acknowledged number, -1 before the first response. */
  get acked(): number {
    return Number(this.responses.at(-1)?.ackedSeq ?? -1);
  }

  async untilAcked(seq: number): Promise<void> {
    await eventually(`seq ${seq} is acknowledged`, () => this.acked >= seq);
  }

  /** Half-closes and waits for the server's status. */
  async finish(): Promise<StatusObject> {
    this.#stream.end();
    const ended = await within('the server ends a stream that its trainer has ended', this.ended);
    this.#close();
    return ended;
  }

  /** As when the process dies. */
  drop(): void {
    this.#stream.cancel();
    this.#close();
  }

  /** The gRPC status with which the server ends the stream, by name. */
  async refusal(): Promise<{ code: string; details: string }> {
    const { code, details } = await within('the server ends the stream', this.ended);
    this.#close();
    return { code: status[code] ?? String(code), details };
  }
}

/** How long a trainer that is new waits for its first acknowledgement. */
export async function firstAckMs(world: World, ingest: Target, name: string): Promise<number> {
  const { run, token } = await world.training(name);
  const at = performance.now();
  const trainer = new Trainer(ingest, `Bearer ${token}`);
  trainer.send(report(run, 1));
  await trainer.untilAcked(1);
  const ms = performance.now() - at;
  await trainer.finish();
  return ms;
}
