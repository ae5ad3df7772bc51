// A plan: one workload, and the faults put into it. Plans are data: they are generated, printed, kept as YAML and replayed.
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** When a fault begins. Writes, requests and lines are named as in the trace of a run; `nth` counts from 1. */
export type Trigger =
  | { readonly write: string; readonly nth?: number }
  | { readonly request: string; readonly nth?: number }
  | { readonly line: string; readonly nth?: number }
  | { readonly mark: string };

export type Moment = 'before' | 'committed' | 'after';

export type Effect =
  /** kill -9 of the operator around a request; it is started again at once. */
  | { readonly do: 'kill'; readonly when: Moment }
  /** The API server, or something in between, answers with an error; so often. */
  | { readonly do: 'answer'; readonly code: number; readonly reason?: string; readonly retryAfter?: number; readonly commit?: boolean; readonly times?: number }
  | { readonly do: 'cut'; readonly commit?: boolean }
  | { readonly do: 'hang'; readonly ms: number; readonly commit?: boolean }
  | { readonly do: 'delay'; readonly ms: number }
  /** Watch lines of these resources come so much later; nothing is lost. */
  | { readonly do: 'hold'; readonly resources: readonly string[]; readonly ms: number }
  /** Watches of these resources end and none can be listed or watched for so long: what happens meanwhile is never seen. */
  | { readonly do: 'blind'; readonly resources: readonly string[]; readonly ms: number }
  /** The line that triggers is lost, comes twice, or ends its watch. */
  | { readonly do: 'drop' | 'twice' | 'cutWatch' }
  /** Watches of these resources get an ERROR event of 410, and one list of each expires. */
  | { readonly do: 'expire'; readonly resources: readonly string[] }
  /** The operator is killed and starts against a past state of the cluster, as it was at an earlier mark; the present comes after so long. */
  | { readonly do: 'travel'; readonly to: string; readonly ms: number }
  /** Nothing goes through the proxy for so long, and nothing is closed. */
  | { readonly do: 'freeze'; readonly ms: number; readonly cut?: boolean }
  /** The operator's clock jumps by so much, at once or so much later; time itself goes on as before. */
  | { readonly do: 'clock'; readonly ms: number; readonly afterMs?: number }
  /** A resource is taken out of the operator's own rules, and put back after so long. Needs an account of its own. */
  | { readonly do: 'forbid'; readonly resource: string; readonly ms: number }
  /** The operator's token becomes invalid; the new one is on disk before that, or so much later. Needs an account of its own. */
  | { readonly do: 'rotate'; readonly lateMs: number }
  /** Every watch ends so often, by turns without a word and as expired, with the clock set forward each time so that none is waited for; what the operator holds is compared. */
  | { readonly do: 'relists'; readonly times: number }
  /** SIGSTOP of the operator for so long. */
  | { readonly do: 'pause'; readonly ms: number }
  /** The API server itself is killed (and restarted) or stopped for so long. */
  | { readonly do: 'apiserver'; readonly how: 'kill' | 'stop'; readonly ms: number }
  /** Something somebody does: see acts.ts. */
  | { readonly do: 'act'; readonly name: string; readonly when?: Moment };

/** `next`: only once the fault before it in the list has happened. */
export type Fault = { readonly at: Trigger; readonly next?: true } & Effect;

export interface Plan {
  readonly id: string;
  /** Row of the campaign in docs/faults.md. */
  readonly row: string;
  readonly workload: string;
  /** Workload whose undisturbed end is the right one; its own unless told. */
  readonly like?: string;
  readonly faults: readonly Fault[];
  /** exact: the end equals the undisturbed end. outcome: phase, conditions and what runs do; attempts may differ. free: only invariants and rest. */
  readonly compare?: 'exact' | 'outcome' | 'free';
  /** Runs alone, since it disturbs all. */
  readonly alone?: boolean;
  /** Seconds within which the state has to be right once faults have stopped. */
  readonly within?: number;
  readonly args?: readonly string[];
  /** So far the operator's clock is ahead from the start; negative when it is behind. */
  readonly clockMs?: number;
  /** The operator has a ServiceAccount and rules of its own in the plan's namespace, which the plan may take away. */
  readonly account?: 'own';
}

/** Reads a plan file. Throws when it is none. */
export function readPlan(file: string): Plan {
  const plan = parse(readFileSync(file, 'utf8')) as Partial<Plan> | null;
  for (const field of ['id', 'row', 'workload', 'faults'] as const) {
    if (plan?.[field] === undefined) throw new Error(`${file}: no ${field}: expected a plan with id, row, workload and faults`);
  }
  return plan as Plan;
}

/** Errors in the log are no alarm when requests failed, or when what is stored cannot be read. */
export function mayFailRequests(plan: Plan): boolean {
  return plan.row === 'stored' || plan.faults.some((fault) => !['kill', 'hold', 'twice', 'delay', 'travel'].includes(fault.do));
}

/** The operator must need no more creations than undisturbed. */
export function keepsCounts(plan: Plan): boolean {
  return (plan.compare ?? 'exact') === 'exact' && !plan.faults.some((fault) => fault.do === 'act');
}
