// Tests only. A cluster small enough to be tried in every order: one run, the Job controller, kubelets, the garbage collector, people.
import { deepFreeze } from '../../runtime/object.ts';
import { attemptOf } from '../naming.ts';
import { isTrue } from '../objects.ts';
import type { Job, Pod } from '../objects.ts';
import type { Observed, Run } from '../observed.ts';
import { parseSpec } from '../parseSpec.ts';
import { planRun } from '../plan.ts';
import type { Plan } from '../plan.ts';
import { countsDiffer, statusOf } from '../status.ts';
import { hasEnded } from '../workers.ts';
import { afterwards, observedFrom } from './world.ts';

export type Step =
  | { readonly do: 'reconcile'; readonly dieAfter?: number | undefined }
  | { readonly do: 'jobController' | 'start' | 'collect' | 'suspend' | 'resume' | 'deleteJob' | 'dropClaim' | 'addClaim' | 'evict' | 'raiseBudget' | 'raiseRestarts' | 'report' | 'save' }
  | { readonly do: 'resize'; readonly replicas: number }
  | { readonly do: 'exit'; readonly index: number; readonly code: number }
  | { readonly do: 'wait'; readonly seconds: number };

const SPEC = { model: { size: '300K' }, data: { uri: 'pvc://data/pool', maxLength: 512, maxResponseLength: 128 }, budget: { steps: 5 }, checkpoint: { store: { pvc: 'runs' } }, workers: { replicas: 2 }, recovery: { maxRestarts: 2, startDeadlineSeconds: 300, silenceTimeoutSeconds: 1200, saveTimeoutSeconds: 120 } };
const TELEMETRY = { address: 'a', ca: 'CA', intervalSeconds: 2, since: '2026-01-01T00:00:00Z' };
const CLAIMS = ['data', 'runs'].map((name) => ({ metadata: { name, namespace: 'team' }, spec: { accessModes: ['ReadWriteMany'] } }));

export class Simulation {
  world: Observed;
  /** Called with every plan before it is carried out. */
  onPlan: (plan: Plan) => void = () => undefined;
  #spec: typeof SPEC;
  #checkpoint = 0;

  /** Fields beyond those every simulated run has. */
  constructor(spec: object = {}, world: object = {}) {
    this.#spec = { ...SPEC, ...spec };
    this.world = observedFrom({
      now: '2026-01-01T00:00:00Z', run: { kind: 'PolarPretrain', metadata: { name: 'demo', namespace: 'team', uid: '11111111-0000', generation: 1 }, spec: this.#spec },
      claims: CLAIMS, settings: { trainerImage: 'trainer:test', telemetry: TELEMETRY }, ...world,
    });
  }

  step(step: Step): void {
    if (step.do === 'reconcile') this.#reconcile(step.dieAfter);
    else if (step.do === 'exit') this.#mapPods((pod) => (pod.status?.phase === 'Running' && pod.metadata.name.includes(`-${step.index}-`) ? withStatus(pod, exited(step.code)) : pod));
    else if (step.do === 'wait') this.#set({ now: new Date(Date.parse(this.world.now) + step.seconds * 1000).toISOString() });
    else if (step.do === 'resize') this.#respec({ ...this.#spec, workers: { replicas: step.replicas } });
    else this.#plain[step.do]();
  }

  readonly #plain = {
    jobController: () => this.#set(this.#podsAndJobs()),
    start: () => this.#mapPods((pod) => (pod.status?.phase === 'Pending' ? withStatus(pod, running(this.world.now)) : pod)),
    evict: () => this.#mapPods((pod) => (pod.status?.phase === 'Running' ? withStatus(pod, { ...exited(20), conditions: [{ type: 'DisruptionTarget', status: 'True' }] }) : pod)),
    collect: () => this.#set({ pods: this.world.pods.filter((pod) => this.world.jobs.some((job) => job.metadata.uid === jobOf(pod))) }),
    suspend: () => this.#respec({ ...this.#spec, suspend: true } as typeof SPEC),
    resume: () => this.#respec({ ...this.#spec, suspend: false } as typeof SPEC),
    raiseBudget: () => this.#respec({ ...this.#spec, budget: { steps: this.#spec.budget.steps + 5 } }),
    raiseRestarts: () => this.#respec({ ...this.#spec, recovery: { ...this.#spec.recovery, maxRestarts: this.#spec.recovery.maxRestarts + 1 } }),
    report: () => this.#reported({ progress: { attempt: this.world.run.status.attempt ?? 0, stage: 'Training', step: 3, trainSeconds: '60', lastReportTime: this.world.now } }),
    save: () => this.#reported({ checkpoints: { latest: { step: ++this.#checkpoint, uri: 'pvc://runs/x', completedTime: this.world.now } } }),
    deleteJob: () => this.#set({ jobs: this.world.jobs.slice(0, -1) }),
    dropClaim: () => this.#set({ claims: this.world.claims.slice(1) }),
    addClaim: () => this.#set({ claims: CLAIMS }),
  };

  /** Attempts that have a pod that has not ended. */
  liveAttempts(): ReadonlySet<number> {
    return new Set(this.world.pods.filter((pod) => !hasEnded(pod)).map(attemptOf));
  }

  /** Dying after n actions leaves those done and the status unwritten; the status write counts as the last. */
  #reconcile(dieAfter: number | undefined): void {
    const plan = planRun(this.world);
    const whole = dieAfter === undefined || dieAfter > plan.actions.length;
    const next = afterwards(this.world, { ...plan, actions: whole ? plan.actions : plan.actions.slice(0, dieAfter) });
    const before = this.world.run;
    this.onPlan(plan);
    const run = whole ? { ...next.run, metadata: before.metadata } : before;
    if (plan.actions.length > 0 && countsDiffer(before, statusOf(plan, undefined))) throw new Error('acts before the attempt is in status');
    this.#set({ jobs: next.jobs.map((job) => ({ ...job, spec: { parallelism: job.spec.parallelism ?? 0 } })), services: next.services, configMaps: next.configMaps, run, ...(next.queueing && { queueing: next.queueing }) });
  }

  #podsAndJobs(): Pick<Observed, 'jobs' | 'pods'> {
    let { pods } = this.world;
    const jobs = this.world.jobs.map((job) => {
      if (isTrue(job.status?.conditions, 'Failed') !== undefined || isTrue(job.status?.conditions, 'Complete') !== undefined) return job;
      const own = pods.filter((pod) => jobOf(pod) === job.metadata.uid);
      if (own.length === 0) pods = [...pods, ...Array.from({ length: job.spec.parallelism ?? 0 }, (_, index) => podOf(job, index))];
      const bad = own.find((pod) => pod.status?.phase === 'Failed');
      if (bad !== undefined) {
        pods = pods.filter((pod) => jobOf(pod) !== job.metadata.uid || hasEnded(pod));
        return { ...job, status: { conditions: [failedBy(bad, this.world.now)] } };
      }
      return own.length === job.spec.parallelism && own.every((pod) => pod.status?.phase === 'Succeeded') ? { ...job, status: { conditions: [{ type: 'Complete', status: 'True' }] } } : job;
    });
    return { jobs, pods };
  }

  #mapPods(change: (pod: Pod) => Pod): void {
    this.#set({ pods: this.world.pods.map(change) });
  }

  #respec(spec: typeof SPEC): void {
    this.#spec = spec;
    const { metadata } = this.world.run;
    const run: Run = { ...this.world.run, metadata: { ...metadata, generation: (metadata.generation ?? 0) + 1 }, ...parseSpec('PolarPretrain', spec) };
    this.#set({ run });
  }

  #reported(status: Run['status']): void {
    this.#set({ run: { ...this.world.run, status: { ...this.world.run.status, ...status } } });
  }

  #set(change: Partial<Observed>): void {
    this.world = deepFreeze({ ...this.world, ...change });
  }
}

function jobOf(pod: Pod): string | undefined {
  return pod.metadata.ownerReferences?.[0]?.uid;
}

function podOf(job: Job, index: number): Pod {
  const { name, uid = '', labels } = job.metadata;
  return {
    metadata: { name: `${name}-${index}-x`, namespace: 'team', uid: `${uid}-${index}`, labels: { ...labels, 'batch.kubernetes.io/job-completion-index': String(index) }, ownerReferences: [{ apiVersion: 'batch/v1', kind: 'Job', name, uid }] },
    status: { phase: 'Pending' },
  };
}

function withStatus(pod: Pod, status: NonNullable<Pod['status']>): Pod {
  return { ...pod, status };
}

function running(startedAt: string): NonNullable<Pod['status']> {
  return { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }], containerStatuses: [{ name: 'trainer', state: { running: { startedAt } } }] };
}

function exited(exitCode: number): NonNullable<Pod['status']> {
  return { phase: exitCode === 0 ? 'Succeeded' : 'Failed', containerStatuses: [{ name: 'trainer', state: { terminated: { exitCode } } }] };
}

function failedBy(pod: Pod, at: string): { type: string; status: string; reason: string; message: string; lastTransitionTime: string } {
  const code = pod.status?.containerStatuses?.[0]?.state?.terminated?.exitCode ?? 1;
  const rule = isTrue(pod.status?.conditions, 'DisruptionTarget') !== undefined ? 4 : { 10: 0, 11: 0, 12: 0, 13: 1, 14: 2, 15: 3, 20: 5 }[code] ?? 6;
  return { type: 'Failed', status: 'True', reason: 'PodFailurePolicy', message: `Container trainer for pod team/${pod.metadata.name} failed with exit code ${code} matching FailJob rule at index ${rule}`, lastTransitionTime: at };
}
