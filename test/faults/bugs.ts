// Known bugs, seeded into a copy of the operator's sources: a harness that misses one is no proof of anything.
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { localRoot, repositoryRoot } from '../../local/src/paths.ts';
import { execute } from './execute.ts';
import type { Stage } from './execute.ts';
import type { Alarm, Reference } from './oracles.ts';
import type { Plan } from './plan.ts';

export interface Bug {
  readonly name: string;
  /** What it does wrong. */
  readonly says: string;
  readonly edits: readonly { readonly file: string; readonly find: string; readonly put: string }[];
  /** Any of these has to raise an alarm. */
  readonly plans: readonly Omit<Plan, 'id' | 'row'>[];
}

const FOLDER = join(import.meta.dirname, 'bugs');
const COPIES = join(localRoot, 'faults/bugs');

export function readBugs(): readonly Bug[] {
  return readdirSync(FOLDER).filter((name) => name.endsWith('.yaml')).sort().map((name) => ({ name: name.replace('.yaml', ''), ...(parse(readFileSync(join(FOLDER, name), 'utf8')) as Omit<Bug, 'name'>) }));
}

export function plansOf(bug: Bug): readonly Plan[] {
  return bug.plans.map((plan, index) => ({ ...plan, id: `bug-${bug.name}-${index + 1}`, row: 'kept' }));
}

/** Edits that do not apply, each with its reason: told before anything runs. */
export function staleEdits(bugs: readonly Bug[], from = repositoryRoot): readonly string[] {
  return bugs.flatMap((bug) => {
    try {
      seeded(bug, from);
      return [];
    } catch (error) {
      return [error instanceof Error ? error.message : String(error)];
    }
  });
}

/** A folder with operator/src as it would be with the bug. Throws when an edit does not apply any more. */
export function seeded(bug: Bug, from = repositoryRoot): string {
  const root = join(COPIES, bug.name);
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root, { recursive: true });
  cpSync(join(from, 'operator'), join(root, 'operator'), { recursive: true, filter: (path) => !path.includes('node_modules') });
  symlinkSync(join(repositoryRoot, 'node_modules'), join(root, 'node_modules'));
  for (const { file, find, put } of bug.edits) edit(bug, join(root, file), find, put);
  return root;
}

function edit(bug: Bug, file: string, find: string, put: string): void {
  const text = readFileSync(file, 'utf8');
  const times = text.split(find).length - 1;
  if (times !== 1) throw new Error(`bug ${bug.name}: ${JSON.stringify(find)} is ${times} times in ${file}, expected once: adapt test/faults/bugs/${bug.name}.yaml`);
  writeFileSync(file, text.replace(find, () => put));
}

export interface Hunt {
  readonly bug: Bug;
  /** The first alarm; undefined when the bug went unnoticed. */
  readonly caughtBy: Alarm | undefined;
  readonly seconds: number;
}

/** Runs the bug's plans with the bug until one raises an alarm. */
export async function hunt(stage: Stage, bug: Bug, referenceOf: (workload: string) => Reference | undefined): Promise<Hunt> {
  const source = seeded(bug, stage.source);
  let seconds = 0;
  for (const plan of plansOf(bug)) {
    const outcome = await execute({ ...stage, source }, { ...plan, within: 12 }, referenceOf(plan.workload));
    seconds += outcome.seconds;
    const alarm = outcome.alarms.find(({ oracle }) => oracle !== 'harness');
    if (alarm !== undefined) return { bug, caughtBy: alarm, seconds };
  }
  return { bug, caughtBy: undefined, seconds };
}
