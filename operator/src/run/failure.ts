// Why an attempt ended. The Job's Failed condition names the rule that matched and outlives the pods; pods that are still there say more.
import { EXIT_CODES, FAILURE_RULES, RESTART_AFTER } from '../api/exitCodes.ts';
import type { FailureReason, RestartPolicy } from '../api/exitCodes.ts';
import type { RunStatus } from '../api/status.ts';
import { isTrue } from './objects.ts';
import type { Job, Pod } from './objects.ts';
import { indexOf, saidBy, trainerState } from './workers.ts';

export interface Failure {
  readonly reason: FailureReason;
  readonly message: string;
  readonly policy: RestartPolicy;
  /** When the attempt ended; RFC 3339. */
  readonly at: string | undefined;
  /** Node of the worker that ended the attempt. */
  readonly node?: string | undefined;
  /** A pod that is still there says so; else it is what the Job's condition says. */
  readonly isTold: boolean;
}

interface Ended {
  readonly pod: Pod;
  readonly reason: FailureReason;
  readonly said: string | undefined;
}

const REASON_OF_CODE = new Map<number, FailureReason>(Object.entries(EXIT_CODES).map(([reason, code]) => [code, reason as FailureReason]));
const MAX_MESSAGE = 2000;

/** Why a failed Job failed; undefined while it has not. */
export function failureOf(job: Job, pods: readonly Pod[]): Failure | undefined {
  const failed = isTrue(job.status?.conditions, 'Failed');
  if (failed === undefined) return undefined;
  const { message = '', lastTransitionTime: at } = failed;
  const cause = rootCause(pods.flatMap(endedBadly), message);
  if (cause !== undefined) return { ...failureFor(cause.reason, described(cause), at), node: cause.pod.spec?.nodeName };
  return { ...failureFor(reasonOfMessage(message), message || (failed.reason ?? 'the Job failed'), at), isTold: false };
}

function failureFor(reason: FailureReason, message: string, at: string | undefined): Failure {
  return { reason, message: message.slice(0, MAX_MESSAGE), policy: RESTART_AFTER[reason], at, isTold: true };
}

/** What status remembers of the attempt: its pods and its Job may be gone by now. */
export function rememberedFailure({ lastFailure }: RunStatus, attempt: number): Failure | undefined {
  const { reason = '', message = '', node, time } = lastFailure ?? {};
  const policy = (RESTART_AFTER as Readonly<Record<string, RestartPolicy>>)[reason];
  if (lastFailure?.attempt !== attempt || policy === undefined) return undefined;
  return { reason: reason as FailureReason, message, policy, at: time, node, isTold: true };
}

/** An attempt that was stopped because nothing was heard of it. */
export function silentFailure(silenceSeconds: number, at: string): Failure {
  return failureFor('Silent', `no report came for ${silenceSeconds} seconds (recovery.silenceTimeoutSeconds)`, at);
}

/**
 * The worker that ended the attempt. When one dies the others fail with it or are stopped, so a specific reason
 * (config, data, loss, storage, memory) wins over everything; a crash or a stop is told by the pod the Job names.
 */
function rootCause(ended: readonly Ended[], jobMessage: string): Ended | undefined {
  const inOrder = [...ended].sort((a, b) => rank(a) - rank(b) || indexOf(a.pod) - indexOf(b.pod));
  const first = inOrder[0];
  if (first !== undefined && rank(first) < specificRules()) return first;
  const reason = reasonOfMessage(jobMessage);
  const named = inOrder.filter((one) => namesPod(jobMessage, one.pod));
  return named[0] ?? inOrder.find((one) => one.reason === reason);
}

function rank(ended: Ended): number {
  return FAILURE_RULES.findIndex((rule) => (rule.reasons as readonly string[]).includes(ended.reason));
}

function specificRules(): number {
  return FAILURE_RULES.findIndex((rule) => rule.reasons.includes('Disrupted'));
}

function namesPod(message: string, pod: Pod): boolean {
  return message.split(/[\s,]+/).includes(`${pod.metadata.namespace ?? ''}/${pod.metadata.name}`);
}

function endedBadly(pod: Pod): readonly Ended[] {
  if (pod.status?.phase !== 'Failed') return [];
  const terminated = trainerState(pod)?.terminated;
  const said = saidBy(pod);
  const disruption = isTrue(pod.status.conditions, 'DisruptionTarget');
  if (disruption !== undefined) return [{ pod, reason: 'Disrupted', said: disruption.message ?? said }];
  if (terminated === undefined) return [{ pod, reason: 'Crashed', said: pod.status.message ?? pod.status.reason }];
  return terminated.exitCode === 0 ? [] : [{ pod, ...byExitCode(terminated, said) }];
}

function byExitCode({ exitCode, reason }: { readonly exitCode: number; readonly reason?: string }, said: string | undefined): Omit<Ended, 'pod'> {
  if (reason === 'OOMKilled') return { reason: 'OutOfMemory', said: said ?? 'the container was killed for using more memory than its limit' };
  const plain = `the trainer ended with exit code ${exitCode}${reason === undefined ? '' : ` (${reason})`}`;
  return { reason: REASON_OF_CODE.get(exitCode) ?? 'Crashed', said: said ?? plain };
}

function described({ pod, said }: Ended): string {
  return `worker ${indexOf(pod)} (pod ${pod.metadata.name}): ${said ?? 'ended without a message'}`;
}

/** Reads "... with exit code 11 matching FailJob rule at index 0"; the code tells apart reasons that share a rule. */
function reasonOfMessage(message: string): FailureReason {
  const code = /exit code (\d+)/.exec(message)?.[1];
  const known = code === undefined ? undefined : REASON_OF_CODE.get(Number(code));
  if (known !== undefined) return known;
  const rule = /rule at index (\d+)/.exec(message)?.[1];
  return (rule === undefined ? undefined : FAILURE_RULES[Number(rule)]?.reasons[0]) ?? 'Crashed';
}
