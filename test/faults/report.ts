// The table at the end of a campaign.
import type { Outcome } from './execute.ts';
import type { Candidate } from './candidates.ts';
import type { Plan } from './plan.ts';

export const ROW_NAMES: Readonly<Record<string, string>> = {
  '1': 'killed around a write', '2': 'killed twice', '4': 'stale reads', '5': 'unobserved changes', '6': 'late and repeated news', '8': 'expired versions', '9': 'network and pauses',
  '9s': 'API server down', '10': 'conflicts', '11': 'overload', '12': 'refusals', '17': 'drift of children', '20': 'foreign objects', '21': 'telemetry that lies', '22': 'checkpoint claims that lie',
  '24': 'disruption', '25': 'deletion while creating', '28': 'status growth', 'hostile': 'values nobody meant', '29': 'no Events', 'budget': 'budget raised after the end', 'clock': 'clocks that are wrong', 'rules': 'rules taken away', 'token': 'tokens replaced', 'stored': 'stored before the schema', 'long': 'a long life', 'kept': 'regressions kept',
};

const COLUMNS = ['generated', 'pruned', 'chosen', 'run', 'unmet', 'alarms', 'plan-seconds'];

/** Whether no fault of the plan came to pass. */
export function isUnmet({ plan, fired }: Outcome): boolean {
  return fired === 0 && plan.faults.length > 0;
}

export function table(candidates: readonly Candidate[], chosen: readonly Plan[], outcomes: readonly Outcome[]): string {
  const rows = Object.keys(ROW_NAMES).filter((row) => [...candidates, ...outcomes].some(({ plan }) => plan.row === row));
  const lines = rows.map((row) => {
    const made = candidates.filter(({ plan }) => plan.row === row);
    const run = outcomes.filter(({ plan }) => plan.row === row);
    const seconds = run.reduce((sum, outcome) => sum + outcome.seconds, 0);
    const counts = [made.length, made.filter(({ pruned }) => pruned !== undefined).length, chosen.filter((plan) => plan.row === row).length, run.length, run.filter(isUnmet).length, run.filter(({ alarms }) => alarms.length > 0).length];
    return [row, ROW_NAMES[row] ?? '', ...counts, seconds.toFixed(0)].map(String);
  });
  const sums = COLUMNS.map((_, index) => String(lines.reduce((total, line) => total + Number(line[index + 2]), 0)));
  const all = [['row', 'what', ...COLUMNS], ...lines, ['', 'all', ...sums]];
  return all.map((line) => `| ${line.map((cell, column) => (column === 1 ? cell.padEnd(28) : cell.padStart(column === 0 ? 7 : 12))).join(' | ')} |`).join('\n');
}
