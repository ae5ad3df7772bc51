// What status remembers of ended attempts: how often, why, the last failure in full, and the nodes they failed on.
import type { Reason } from '../api/reasons.ts';
import type { RunStatus } from '../api/status.ts';
import { millisOf } from './instant.ts';
import type { Situation } from './situation.ts';

type History = Pick<RunStatus, 'restartsByReason' | 'failedNodes' | 'lastFailure' | 'resumeBeforeStep'>;

const MAX_REASONS = 32;
const MAX_NODES = 16;

/** Failures that the node of a worker can cause; memory and data run out on any node. */
const BY_NODE: ReadonlySet<string> = new Set(['Crashed', 'Hung', 'ReplicasDiffer']);

/** Why the attempt in hand ended, as the next attempt is counted. */
export function endReason({ failure, stopRequest, jobState }: Situation): Reason {
  if (failure !== undefined && failure.policy !== 'free') return failure.reason;
  if (jobState === 'done') return 'BudgetRaised';
  return stopRequest?.reason ?? failure?.reason ?? 'JobDeleted';
}

/** Whether the run has failed for this reason in an earlier attempt. */
export function hasFailedBefore({ restartsByReason }: RunStatus, reason: string): boolean {
  return restartsByReason?.some((one) => one.reason === reason) === true;
}

/** The record of a run when nothing begins, or with the attempt in hand added to it when the next one does. */
export function historyOf(s: Situation, begins: 'first' | 'charged' | 'free' | undefined): History {
  const { restartsByReason, failedNodes, resumeBeforeStep } = s.seen.run.status;
  const lastFailure = lastFailureOf(s);
  if (begins === undefined || begins === 'first') return { restartsByReason, failedNodes, resumeBeforeStep, lastFailure };
  return { restartsByReason: counted(restartsByReason ?? [], endReason(s)), failedNodes: withNode(failedNodes, s), resumeBeforeStep: startBefore(s), lastFailure };
}

/** Names of nodes on which so many attempts failed that later ones avoid them. */
export function nodesToAvoid({ failedNodes = [] }: RunStatus, afterFailures: number): readonly string[] {
  return afterFailures === 0 ? [] : failedNodes.filter(({ failures }) => failures >= afterFailures).map(({ name }) => name);
}

function counted(before: NonNullable<RunStatus['restartsByReason']>, reason: string): RunStatus['restartsByReason'] {
  if (before.some((one) => one.reason === reason)) return before.map((one) => (one.reason === reason ? { reason, count: one.count + 1 } : one));
  return [...before, { reason, count: 1 }].slice(-MAX_REASONS);
}

/** When there is no room the node that failed least makes way. */
function withNode(before: RunStatus['failedNodes'], { failure }: Situation): RunStatus['failedNodes'] {
  const name = failure?.node;
  if (name === undefined || failure === undefined || !BY_NODE.has(failure.reason)) return before;
  const nodes = before ?? [];
  if (nodes.some((node) => node.name === name)) return nodes.map((node) => (node.name === name ? { name, failures: node.failures + 1 } : node));
  const kept = [...nodes].sort((a, b) => b.failures - a.failures).slice(0, MAX_NODES - 1);
  return [...nodes.filter((node) => kept.includes(node)), { name, failures: 1 }];
}

/** An attempt that ended because it was asked to has not failed. */
function lastFailureOf({ seen, attempt, failure, stopRequest }: Situation): RunStatus['lastFailure'] {
  const { lastFailure } = seen.run.status;
  if (failure === undefined || (failure.policy === 'free' && stopRequest !== undefined)) return lastFailure;
  const { reason, message, node, at } = failure;
  return { attempt, reason, message, ...(node === undefined ? {} : { node }), ...(at === undefined ? {} : { time: isLater(at, seen.now) ? seen.now : at }) };
}

/** As a node says whose clock is ahead; what waits for that time would wait as much longer. */
function isLater(at: string, now: string): boolean {
  return millisOf(at) > millisOf(now);
}

/** After a loss that was not finite the newest checkpoint is left out, until the run has got past it. */
function startBefore(s: Situation): RunStatus['resumeBeforeStep'] {
  const { checkpoints, resumeBeforeStep } = s.seen.run.status;
  const latest = checkpoints?.latest;
  if (s.failure?.reason === 'NonFiniteLoss') return latest === undefined || latest.step === 0 ? undefined : latest.step;
  return resumeBeforeStep === undefined || isPast(resumeBeforeStep, s) ? undefined : resumeBeforeStep;
}

function isPast(step: number, { seen }: Situation): boolean {
  const { checkpoints, attemptStartTime } = seen.run.status;
  const latest = checkpoints?.latest;
  if (latest === undefined || latest.step < step) return false;
  return latest.step > step || (latest.completedTime !== undefined && attemptStartTime !== undefined && millisOf(latest.completedTime) >= millisOf(attemptStartTime));
}
