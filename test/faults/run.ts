// The campaign. Usage: node test/faults/run.ts [--plans all] [--seed N] [--row ROW] [--workload NAME] [--plan ID|FILE] [--bug NAME|all|none] [--list]
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { localRoot, repositoryRoot } from '../../local/src/paths.ts';
import { hunt, plansOf, readBugs, staleEdits } from './bugs.ts';
import type { Bug, Hunt } from './bugs.ts';
import { choose } from './choose.ts';
import { MANIFEST, startFaultCluster } from './cluster.ts';
import { execute } from './execute.ts';
import type { Outcome, Stage } from './execute.ts';
import { Observer } from './observer.ts';
import { readPlan } from './plan.ts';
import type { Plan } from './plan.ts';
import { learn } from './reference.ts';
import type { Learnt } from './reference.ts';
import { isUnmet, table } from './report.ts';
import { candidatesOf, specialPlans } from './rows.ts';
import type { Candidate } from './candidates.ts';
import { unused } from './permissions.ts';
import { LEARNT } from './workloads.ts';

const KEPT = join(import.meta.dirname, 'plans');
const MADE = join(localRoot, 'faults/plans');

const { values } = parseArgs({ options: {
  'plans': { type: 'string', default: process.env['PLANS'] ?? 'some' }, 'seed': { type: 'string', default: process.env['SEED'] ?? '1' }, 'row': { type: 'string' }, 'workload': { type: 'string' },
  'plan': { type: 'string', multiple: true }, 'list': { type: 'boolean', default: false }, 'source': { type: 'string' }, 'at-once': { type: 'string', default: '4' }, 'bug': { type: 'string' }, 'learn': { type: 'string', default: '3' },
} });

interface Campaign {
  readonly candidates: readonly Candidate[];
  readonly chosen: readonly Plan[];
  readonly learnt: ReadonlyMap<string, Learnt>;
  /** Workloads that could not be learnt. */
  readonly failures: readonly string[];
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** At most so many at once; in order of start. */
async function pooled<T, R>(items: readonly T[], atOnce: number, work: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index] as T);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return results;
}

function keptPlans(): readonly Plan[] {
  return readdirSync(KEPT).filter((name) => name.endsWith('.yaml')).sort().map((name) => readPlan(join(KEPT, name)));
}

function givenPlan(name: string): Plan | undefined {
  return [name, join(KEPT, `${name}.yaml`), join(MADE, `${name}.yaml`)].filter((file) => file.endsWith('.yaml') && existsSync(file)).map(readPlan)[0];
}

/** All of them in a whole campaign; otherwise those asked for. */
function chosenBugs(): readonly Bug[] {
  const isWhole = values.plan === undefined && values.row === undefined && values.workload === undefined;
  const wanted = values.bug ?? (isWhole ? 'all' : 'none');
  return readBugs().filter(({ name }) => wanted === 'all' || wanted.split(',').includes(name));
}

/** Only bugs are asked for: no other plan is run. */
const onlyBugs = values.bug !== undefined && values.bug !== 'none' && values.plan === undefined && values.row === undefined && values.workload === undefined;

interface Given { readonly name: string; readonly plan: Plan | undefined }

/** Which workloads have to be learnt for what is asked for. */
function toLearn(given: readonly Given[]): readonly string[] {
  const forBugs = new Set(chosenBugs().flatMap(plansOf).map(({ workload }) => workload));
  const named = (workload: string): boolean => given.some(({ name, plan }) => (plan === undefined ? name.includes(`-${workload}-`) || name.includes('-lie-') : (plan.like ?? plan.workload) === workload));
  const isAskedFor = (workload: string): boolean => values.workload?.split(',').includes(workload) ?? (given.length === 0 || named(workload));
  return LEARNT.map(({ name }) => name).filter((name) => forBugs.has(name) || (!onlyBugs && isAskedFor(name)));
}

async function prepare(stage: Stage): Promise<Campaign> {
  const given = (values.plan ?? []).map((name) => ({ name, plan: givenPlan(name) }));
  const failures: string[] = [];
  const found = await pooled(toLearn(given), Number(values['at-once']), async (name) => {
    try {
      return [[name, await learn(stage, name, Number(values.learn))] as const];
    } catch (error) {
      failures.push(String(error));
      return [];
    }
  });
  const learnt = new Map(found.flat());
  const isOfRow = ({ plan }: Candidate): boolean => values.row === undefined || values.row.split(',').includes(plan.row);
  const ofWorkloads = [...learnt].flatMap(([workload, one]) => candidatesOf({ workload, learnt: one }));
  const candidates = [...ofWorkloads, ...(values.workload === undefined ? specialPlans() : [])].filter(isOfRow);
  const named = given.map(({ name, plan }) => candidates.find((one) => one.plan.id === name)?.plan ?? plan ?? fail(`no plan "${name}"`));
  return { candidates, chosen: given.length > 0 ? named : chosenFrom(candidates), learnt, failures };
}

function chosenFrom(candidates: readonly Candidate[]): readonly Plan[] {
  const healthy = chosenBugs().flatMap(plansOf);
  if (onlyBugs) return healthy;
  const kept = values.row === undefined && values.workload === undefined ? keptPlans() : [];
  const chosen = choose(candidates, Number(values.seed), values.plans === 'all');
  // What takes longest begins first.
  return [...chosen.filter(({ row }) => row === 'long'), ...kept.map((plan) => ({ ...plan, row: 'kept' })), ...healthy, ...chosen.filter(({ row }) => row !== 'long')];
}

function fail(why: string): never {
  throw new Error(why);
}

function write(plan: Plan): string {
  mkdirSync(MADE, { recursive: true });
  const file = join(MADE, `${plan.id}.yaml`);
  writeFileSync(file, stringify(plan, { lineWidth: 0 }));
  return file;
}

function tell(outcome: Outcome): void {
  const { plan, alarms, seconds } = outcome;
  const mark = alarms.length > 0 ? 'ALARM' : isUnmet(outcome) ? 'unmet' : 'ok';
  say(`${mark.padEnd(5)} ${plan.id} (${seconds.toFixed(1)} s)`);
  for (const { oracle, says } of alarms) say(`      ${oracle}: ${says}`);
  if (alarms.length > 0) say(`      again: node test/faults/run.ts --plan ${plan.id} --seed ${values.seed}; plan ${write(plan)}`);
}

// What only says that time ran out may be the machine's fault: it is tried once more, alone.
const MAY_BE_SLOW = new Set(['O1 end', 'O4 rest', 'O4 progress', 'harness']);

async function runAll(stage: Stage, { chosen, learnt }: Campaign): Promise<readonly Outcome[]> {
  const run = async (plan: Plan): Promise<Outcome> => {
    const outcome = await execute(stage, plan, learnt.get(plan.like ?? plan.workload)?.reference);
    tell(outcome);
    return outcome;
  };
  const first = await pooled(chosen.filter(({ alone }) => alone !== true), Number(values['at-once']), run);
  const alone: Outcome[] = [];
  for (const plan of chosen.filter((one) => one.alone === true)) alone.push(await run(plan));
  const again: Outcome[] = [];
  for (const outcome of [...first, ...alone]) {
    const isSlow = outcome.alarms.length > 0 && outcome.alarms.every(({ oracle }) => MAY_BE_SLOW.has(oracle));
    again.push(isSlow ? await run(outcome.plan) : outcome);
  }
  return again;
}

async function huntAll(stage: Stage, { learnt }: Campaign): Promise<readonly Hunt[]> {
  return pooled(chosenBugs(), Number(values['at-once']), async (bug) => {
    const found = await hunt(stage, bug, (workload) => learnt.get(workload)?.reference);
    say(found.caughtBy === undefined ? `MISSED ${bug.name}: ${bug.says}` : `caught ${bug.name} (${found.seconds.toFixed(1)} s) by ${found.caughtBy.oracle}: ${found.caughtBy.says.split('\n')[0]}`);
    return found;
  });
}

/** Throws when an edit of a seeded bug does not apply any more, before minutes are spent. */
function refuseStale(): void {
  const stale = staleEdits(chosenBugs(), values.source);
  if (stale.length > 0) fail(stale.join('\n'));
}

async function main(): Promise<number> {
  const began = performance.now();
  refuseStale();
  const cluster = await startFaultCluster(values.source);
  const stage = { cluster, observer: new Observer(cluster.admin), source: values.source };
  const campaign = await prepare(stage);
  const undisturbed = [...campaign.failures, ...[...campaign.learnt].flatMap(([name, { alarms }]) => alarms.map(({ oracle, says }) => `${name} undisturbed: ${oracle}: ${says}`))];
  undisturbed.forEach(say);
  say(`learnt ${campaign.learnt.size} workloads in ${((performance.now() - began) / 1000).toFixed(0)} s; ${campaign.candidates.length} plans, ${campaign.chosen.length} chosen by seed ${values.seed}`);
  const outcomes = values.list ? [] : await runAll(stage, campaign);
  const hunts = values.list ? [] : await huntAll(stage, campaign);
  if (values.list) campaign.chosen.forEach(({ id }) => say(id));
  if (!values.list) say(`granted and never used: ${unused(cluster.audit(), readFileSync(join(values.source ?? repositoryRoot, MANIFEST), 'utf8')).join(', ') || 'nothing'}`);
  await stage.observer.close();
  await cluster.stop();
  say(table(campaign.candidates, campaign.chosen, outcomes));
  if (hunts.length > 0) say(`seeded bugs caught: ${hunts.filter(({ caughtBy }) => caughtBy !== undefined).length} of ${hunts.length}`);
  const failed = hunts.filter(({ caughtBy }) => caughtBy === undefined).length + outcomes.filter(({ alarms }) => alarms.length > 0).length + (undisturbed.length > 0 ? 1 : 0);
  say(`${((performance.now() - began) / 1000).toFixed(0)} s, seed ${values.seed}`);
  say(`${outcomes.length + hunts.length + campaign.learnt.size - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}


process.exit(await main());
